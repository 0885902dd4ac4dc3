"""Outputs as tokens, sums over an example, and targets that are real numbers."""

from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["as_tokens", "check_real_targets", "total"]


def as_tokens(outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C"]:
    """Outputs [N, *tokens, C] with the token axes as one; [N] becomes [N, 1, 1]."""
    if outputs.ndim == 1:
        return outputs[:, None, None]
    return outputs.reshape(outputs.shape[0], -1, outputs.shape[-1])


def total(values: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """The sum of each example's values."""
    return values.reshape(values.shape[0], -1).sum(dim=1)


def check_real_targets(
    name: str, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
) -> None:
    """Refuse targets that are not floating-point numbers of the outputs' shape.

    Args:
        name: The loss's, with which the error begins.
        outputs: Model outputs, [N, ...].
        targets: Values, [N, ...].

    Raises:
        ValueError: They have another dtype or shape.
    """
    if not targets.is_floating_point():
        raise ValueError(f"{name} needs floating-point targets, got {targets.dtype}")
    if targets.shape != outputs.shape:
        raise ValueError(
            f"{name} needs targets of the outputs' shape {tuple(outputs.shape)}, "
            f"got {tuple(targets.shape)}"
        )
