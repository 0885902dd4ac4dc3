"""Gradients in the matrices [W | b] of the blocks, formed from their rows."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from refimpl.problem import memory

__all__ = ["gradient_matrices", "gradient_matrices_in_pieces"]


def gradient_matrices(
    g: Float[Tensor, "*#batch R O"], a: Float[Tensor, "*#batch R I"]
) -> Float[Tensor, "... O I"]:
    """The gradient in [W | b], sum_r g_r a_r^T, for leading axes that broadcast.

    Args:
        g: Pre-activation gradients, [..., R, O].
        a: Layer inputs, [..., R, I].
    """
    return g.mT @ a


def gradient_matrices_in_pieces(
    g: Float[Tensor, "K N R O"], a: Float[Tensor, "N R I"]
) -> Iterator[Float[Tensor, "K B O I"]]:
    """The gradients in [W | b] of all directions, as many examples at a time as fit 128 MiB.

    Args:
        g: Pre-activation gradients of K directions, [K, N, R, O].
        a: Layer inputs, [N, R, I].
    """
    step = max(1, memory.LAYER_ROWS // (g.shape[0] * g.shape[3] * a.shape[2]))
    for some, rows in zip(g.split(step, dim=1), a.split(step), strict=True):
        yield gradient_matrices(some, rows)
