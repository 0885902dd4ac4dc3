"""Tensors that a graph of derivatives may hold."""

from typing import Any

__all__ = ["recorded"]


def recorded(tensor: Any) -> Any:
    """A tensor that a graph may hold: a copy of one that was made in inference mode, others as they are.

    Args:
        tensor: Any tensor.
    """
    return tensor.clone() if tensor.is_inference() else tensor
