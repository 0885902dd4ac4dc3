"""The table from a type of module to the layer that it is seen as."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from refimpl.problem.layers.layer import Layer

__all__ = ["layer_of", "layer_type", "register_layer", "supported_types"]

_TABLE: dict[type[nn.Module], type[Layer]] = {}
LayerType = TypeVar("LayerType", bound=type[Layer])


def register_layer(module_type: type[nn.Module]) -> Callable[[LayerType], LayerType]:
    """Let modules of a type be tracked: a decorator of the `Layer` that says how they act.

    A module is seen through the registration of the nearest of its classes that has one, and only if

    - it computes with that class's own `forward`: a subclass that overrides it may compute something
      else, and is not supported until it is registered itself;
    - each of the layer's `names` that the module has is a parameter of its own: a parametrized module
      (weight_norm, spectral_norm) computes its weight from other parameters.

    A later registration of the same type takes the place of an earlier one. What a layer claims is
    checked: that `parameters` inverts `matrices` when a Problem is made, that its rows give the model's
    gradients before they are used.

    Args:
        module_type: The type of module.

    Raises:
        TypeError: It is not a subclass of torch.nn.Module, or what is decorated not one of `Layer`.

    Example:
        A linear layer that stores its weight transposed, as the Conv1D of GPT-2 does:

        >>> import torch
        >>> import refimpl as ri
        >>> class Transposed(torch.nn.Module):
        ...     def __init__(self, inputs, outputs):
        ...         super().__init__()
        ...         self.weight = torch.nn.Parameter(torch.ones(inputs, outputs))
        ...     def forward(self, x):
        ...         return x @ self.weight
        >>> @ri.register_layer(Transposed)
        ... class TransposedLayer(ri.Layer):
        ...     by_token = True
        ...     def matrix(self, weight):
        ...         return weight.mT.unsqueeze(-3)  # [..., 1, O, I]
        ...     def weight(self, matrix):
        ...         return matrix.squeeze(-3).mT
        ...     def input_rows(self, a):
        ...         return a.reshape(len(a), 1, -1, a.shape[-1])
        ...     def output_rows(self, s, a):
        ...         return s.reshape(len(s), 1, -1, s.shape[-1])
        >>> x, y = torch.eye(4, 3), torch.zeros(4, 2)
        >>> ri.Problem(Transposed(3, 2), ri.losses.SquaredError(), x, y).layout
        ParameterLayout(: 2x3; P=6)
    """
    if not (isinstance(module_type, type) and issubclass(module_type, nn.Module)):  # pyright: ignore
        raise TypeError(f"register_layer needs a subclass of torch.nn.Module, got {module_type!r}")

    def register(layer_type: LayerType) -> LayerType:
        if not (isinstance(layer_type, type) and issubclass(layer_type, Layer)):  # pyright: ignore
            raise TypeError(f"register_layer decorates a subclass of Layer, got {layer_type!r}")
        _TABLE[module_type] = layer_type
        return layer_type

    return register


def layer_type(module: nn.Module) -> type[Layer] | None:
    """The layer that a module is seen as, by the rule of `register_layer`; None where there is none."""
    kind = type(module)
    registered = next((base for base in kind.__mro__ if base in _TABLE), None)
    if registered is None or kind.forward is not registered.forward:
        return None
    layer = _TABLE[registered]
    parameters = {name for name, _ in module.named_parameters(recurse=False)}
    used = {name for name in layer.names if getattr(module, name, None) is not None}
    return layer if used <= parameters else None


def layer_of(module: nn.Module) -> Layer:
    """How a module acts.

    Args:
        module: The module, of a supported type.

    Raises:
        ValueError: It is not supported: see `register_layer`.
    """
    layer = layer_type(module)
    if layer is None:
        raise ValueError(f"{type(module).__name__} cannot be tracked: only {supported_types()} can")
    return layer(module)


def supported_types() -> str:
    """The names of all registered types of module, for messages."""
    return ", ".join(_name(kind) for kind in _TABLE)


def _name(kind: type[nn.Module]) -> str:
    public = getattr(nn, kind.__name__, None) is kind
    return f"torch.nn.{kind.__name__}" if public else f"{kind.__module__}.{kind.__qualname__}"
