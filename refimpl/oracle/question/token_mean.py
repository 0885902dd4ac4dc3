"""The loss of the convention loss_reduction="token_mean"."""

from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.losses import CrossEntropy

__all__ = ["TokenMean"]


class TokenMean(CrossEntropy):
    """Softmax cross-entropy as the mean over an example's counted tokens; 0 where none counts.

    Args:
        As for `CrossEntropy`.
    """

    def target_mass(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N ..."]:
        """The same over the number of tokens of the example that count."""
        mass = super().target_mass(outputs, targets)
        count = self.counted(targets).reshape(len(mass), -1).sum(dim=1).clamp(min=1)
        return mass / count.reshape(-1, *[1] * (mass.ndim - 1)).to(mass)
