"""Tensors that autograd may save for a derivative."""

from typing import Any

__all__ = ["recorded"]


def recorded(tensor: Any) -> Any:
    """A copy of a tensor made in inference mode, which autograd refuses to save; others as they are."""
    return tensor.clone() if tensor.is_inference() else tensor
