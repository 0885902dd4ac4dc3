"""ParameterLayout: the flat vector [P] <-> the matrix [W | b] of each block.

The flat vector is, block by block, the row-major flattening of [W | b] (O x I, the bias as last
column where there is one). A block is one linear map: a Linear, a Conv2d, or one group of a grouped
Conv2d. This is the only place that knows the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refimpl.problem.layers.tracked import groups_of

__all__ = ["Block", "Layer", "ParameterLayout"]


@dataclass(frozen=True)
class Layer:
    """A tracked set of parameters: one module, or several modules that share their parameters.

    Args:
        name: The first module's name.
        modules: Names of all modules that hold these very parameters.
        weight_shape: Shape of the weight.
        groups: Maps side by side (groups of a convolution).
        bias: Whether there is a bias.
    """

    name: str
    modules: tuple[str, ...]
    weight_shape: tuple[int, ...]
    groups: int
    bias: bool

    @classmethod
    def of(cls, modules: Mapping[str, nn.Module]) -> "Layer":
        """The layer that the given modules, all holding the same parameters, form."""
        name, module = next(iter(modules.items()))
        own = dict(module.named_parameters(recurse=False))
        shape = tuple(own["weight"].shape)
        return cls(name, tuple(modules), shape, groups_of(module), "bias" in own)


@dataclass(frozen=True)
class Block:
    """One matrix [W | b]: its name, its size O x I (I counts the bias column), its place in [P]."""

    name: str
    layer: str
    outputs: int
    inputs: int
    bias: bool
    start: int

    @property
    def stop(self) -> int:
        """End of the block in the flat vector."""
        return self.start + self.outputs * self.inputs

    @property
    def slice(self) -> slice:
        """The block's place in the flat vector."""
        return slice(self.start, self.stop)


class ParameterLayout:
    """Converts between the flat vector, the matrices of the blocks and the model's named parameters.

    Args:
        layers: The tracked layers in the order of the flat vector.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        blocks: list[Block] = []
        start = 0
        for layer in self.layers:
            rows = layer.weight_shape[0] // layer.groups
            columns = _prod(layer.weight_shape[1:]) + layer.bias
            for group in range(layer.groups):
                name = layer.name if layer.groups == 1 else f"{layer.name}[{group}]"
                blocks.append(Block(name, layer.name, rows, columns, layer.bias, start))
                start = blocks[-1].stop
        self.blocks = tuple(blocks)
        self.num_parameters = start

    def __repr__(self) -> str:
        shapes = ", ".join(f"{b.name}: {b.outputs}x{b.inputs}" for b in self.blocks)
        return f"ParameterLayout({shapes}; P={self.num_parameters})"

    def matrices(self, flat: Float[Tensor, "*batch P"]) -> dict[str, Float[Tensor, "*batch _O _I"]]:
        """The matrix [W | b] of every block.

        Args:
            flat: Flat vectors [..., P].

        Returns:
            A view [..., O, I] per block name.
        """
        self._check(flat)
        return {
            b.name: flat[..., b.slice].unflatten(-1, (b.outputs, b.inputs)) for b in self.blocks
        }

    def flatten(self, matrices: Mapping[str, Float[Tensor, "..."]]) -> Float[Tensor, "*batch P"]:
        """The flat vectors [..., P] of a matrix [..., O, I] per block; inverse of `matrices`.

        Args:
            matrices: A matrix [..., O, I] per block name.

        Raises:
            ValueError: A block is missing, or its matrix has another shape.
        """
        for b in self.blocks:
            if b.name not in matrices:
                raise ValueError(f"no matrix for block '{b.name}' among {sorted(matrices)}")
            if matrices[b.name].shape[-2:] != (b.outputs, b.inputs):
                raise ValueError(
                    f"block '{b.name}' is {b.outputs} x {b.inputs} (outputs x inputs, bias "
                    f"included), got {tuple(matrices[b.name].shape)}"
                )
        return torch.cat([matrices[b.name].flatten(-2) for b in self.blocks], dim=-1)

    def named(self, flat: Float[Tensor, "*batch P"]) -> dict[str, Float[Tensor, "..."]]:
        """The model's parameters by name, e.g. "0.weight"; shared ones once per holding module.

        Args:
            flat: Flat vectors [..., P].

        Returns:
            Tensors [..., *parameter shape].
        """
        self._check(flat)
        lead = flat.shape[:-1]
        named: dict[str, Tensor] = {}
        shapes = [(y.weight_shape[0], _prod(y.weight_shape[1:]) + y.bias) for y in self.layers]
        # One split, not a slice a layer: its derivative is one concatenation, theirs a vector [P] each.
        parts = flat.split([rows * columns for rows, columns in shapes], dim=-1)
        for layer, part, (rows, columns) in zip(self.layers, parts, shapes, strict=True):
            matrix = part.reshape(*lead, rows, columns)
            weight = matrix[..., : columns - layer.bias].reshape(*lead, *layer.weight_shape)
            for module in layer.modules:
                named[f"{module}.weight".lstrip(".")] = weight
                if layer.bias:
                    named[f"{module}.bias".lstrip(".")] = matrix[..., -1]
        return named

    def from_named(self, named: Mapping[str, Float[Tensor, "..."]]) -> Float[Tensor, "*batch P"]:
        """The flat vectors [..., P] of tensors named as in `model.named_parameters()`.

        Args:
            named: A tensor [..., *parameter shape] per parameter; names of other parameters, and
                further names of shared ones, may be present and are not read.

        Raises:
            ValueError: A tracked parameter is missing or of another shape.
        """
        parts: list[Tensor] = []
        for layer in self.layers:
            weight = _first_named(named, layer, "weight")
            if weight.shape[-len(layer.weight_shape) :] != layer.weight_shape:
                raise ValueError(
                    f"parameter '{layer.name}.weight' must be [..., {layer.weight_shape}], "
                    f"got {tuple(weight.shape)}"
                )
            lead = weight.shape[: weight.ndim - len(layer.weight_shape)]
            matrix = weight.reshape(*lead, layer.weight_shape[0], -1)
            if layer.bias:
                bias = _first_named(named, layer, "bias")
                matrix = torch.cat([matrix, bias[..., None]], dim=-1)
            parts.append(matrix.flatten(-2))
        return torch.cat(parts, dim=-1)

    def _check(self, flat: Float[Tensor, "*batch P"]) -> None:
        if flat.shape[-1] != self.num_parameters:
            raise ValueError(
                f"expected vectors of length P={self.num_parameters}, got shape {tuple(flat.shape)}"
            )


def _first_named(named: Mapping[str, Tensor], layer: Layer, kind: str) -> Float[Tensor, "..."]:
    for module in layer.modules:
        key = f"{module}.{kind}".lstrip(".")
        if key in named:
            return named[key]
    raise ValueError(f"parameter '{layer.name}.{kind}' is missing among {sorted(named)}")


def _prod(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
