"""Half the squared distance."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from refimpl.losses.likelihood import LikelihoodLoss, random_numbers
from refimpl.losses.tokens import as_tokens, check_real_targets, total


@dataclass(frozen=True)
class SquaredError(LikelihoodLoss):
    """Half the squared distance, ½ ‖f - y‖², summed over outputs and tokens."""

    def check(self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]) -> None:
        """Refuse targets that are not real numbers of the outputs' shape."""
        check_real_targets(type(self).__name__, outputs, targets)

    def value(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """½ ‖f - y‖² [N]."""
        return total((outputs - targets) ** 2) / 2

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log density of y under N(f, I), without its constant: -½ ‖f - y‖² [N]."""
        return -self.value(outputs, targets)

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T"]:
        """The weight omega = 1."""
        return torch.ones_like(as_tokens(outputs)[..., 0])

    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C C"]:
        """The identity."""
        f = as_tokens(outputs)
        eye = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
        return eye.expand(*f.shape, f.shape[-1])

    def unit_product(
        self, outputs: Float[Tensor, "N ..."], vectors: Float[Tensor, "N T C"]
    ) -> Float[Tensor, "N T C"]:
        """The vector itself."""
        del outputs
        return vectors

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples T C"]:
        """Standard normal numbers, one per output and sample."""
        n, *rest = as_tokens(outputs).shape
        return random_numbers(torch.randn, (n, samples, *rest), outputs, generator)

    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples T C"]
    ) -> Float[Tensor, "samples N T C"]:
        """The residual f - y at labels y ~ N(f, I)."""
        del outputs
        return -draws.transpose(0, 1)

    def bregman(
        self,
        outputs: Float[Tensor, "N ..."],
        reference: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
    ) -> Float[Tensor, " N"]:
        """½ ‖f - f_s‖² [N]."""
        del targets
        return total((outputs - reference) ** 2) / 2
