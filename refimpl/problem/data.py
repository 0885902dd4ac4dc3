"""What a model is called with: a tensor, or a tuple or dict of tensors, the examples on the first axis."""

from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils import _pytree as pytree

__all__ = ["Data", "as_arguments", "convert", "index", "length", "named_tensors"]

# The model is called as model(x), model(*xs) or model(**xs); every tensor has the examples first.
Data = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Tensors = TypeVar("Tensors", bound=Data)


def convert(data: Tensors, dtype: torch.dtype, *, copy: bool = False) -> Tensors:
    """The same data without a graph, its floating-point tensors in another precision.

    Args:
        data: Inputs or targets; integers stay as they are.
        dtype: Precision of the floating-point tensors.
        copy: Whether no memory may be shared with `data`.
    """

    def converted(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype, copy=copy)

    return pytree.tree_map(converted, data)


def as_arguments(inputs: Data) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Positional and keyword arguments of the model's call."""
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def length(inputs: Data) -> int:
    """Number of examples."""
    return pytree.tree_leaves(inputs)[0].shape[0]


def index(inputs: Data, where: slice | Int[Tensor, "*M"] | None) -> Data:
    """The chosen examples of every tensor; None adds a leading axis to a single example."""
    return pytree.tree_map(lambda t: t[where], inputs)


def named_tensors(inputs: Any) -> dict[str, Any]:
    """Each tensor of the inputs by the name that an error message gives it: inputs[0], inputs['ids']."""
    if isinstance(inputs, tuple):
        return {f"inputs[{i}]": value for i, value in enumerate(inputs)}
    if isinstance(inputs, dict):
        return {f"inputs[{key!r}]": value for key, value in inputs.items()}
    return {"inputs": inputs}
