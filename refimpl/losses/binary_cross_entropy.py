"""Cross-entropy of independent logits."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor
from torch.nn import functional as F

from refimpl.losses.cross_entropy import CrossEntropy
from refimpl.losses.likelihood import LikelihoodLoss, random_numbers
from refimpl.losses.tokens import check_real_targets, total


@dataclass(frozen=True, eq=False)
class BinaryCrossEntropy(LikelihoodLoss):
    """Cross-entropy of independent logits with targets in [0, 1], summed over outputs and tokens.

    Args:
        pos_weight: Weight of positive targets, a number or one per output [C], as in
            torch.nn.functional.binary_cross_entropy_with_logits.

    Raises:
        ValueError: pos_weight is negative or not finite.
    """

    pos_weight: Float[Tensor, " C"] | float | None = None

    def __post_init__(self) -> None:
        if self.pos_weight is None:
            return
        weight = torch.as_tensor(self.pos_weight)
        if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
            raise ValueError(f"pos_weight must be finite and >= 0, got {self.pos_weight}")

    def check(self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]) -> None:
        """Refuse targets that are not numbers in [0, 1] of the outputs' shape."""
        check_real_targets(type(self).__name__, outputs, targets)
        if bool(((targets < 0) | (targets > 1)).any()):
            raise ValueError("BinaryCrossEntropy needs targets in [0, 1]")
        expected = outputs.shape[1:][-1:]  # (C,), or () where an example has a single output
        if isinstance(self.pos_weight, Tensor) and self.pos_weight.shape not in ((), expected):
            raise ValueError(
                f"pos_weight must be a number or have shape {tuple(expected)}, "
                f"got {tuple(self.pos_weight.shape)}"
            )

    def _positive(self, outputs: Float[Tensor, "N ..."]) -> Tensor | float:
        if isinstance(self.pos_weight, Tensor):
            return self.pos_weight.to(outputs)
        return 1.0 if self.pos_weight is None else self.pos_weight

    def value(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """-(w y log sigma(f) + (1 - y) log sigma(-f)) [N]."""
        positive = self._positive(outputs) * targets * _log_sigmoid(outputs)
        return -total(positive + (1 - targets) * _log_sigmoid(-outputs))

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """The log-likelihood y log sigma(f) + (1 - y) log sigma(-f) [N]."""
        return total(targets * _log_sigmoid(outputs) + (1 - targets) * _log_sigmoid(-outputs))

    def logit(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """The logit f of the positive class, whatever the target [N]."""
        del targets
        return total(outputs)

    def margin(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """(2y - 1) f, the log odds of the target [N]."""
        return total((2 * targets - 1) * outputs)

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N D"]:
        """The weight omega = w y + 1 - y; every output counts as a token of its own."""
        omega = self._positive(outputs) * targets + 1 - targets
        return omega.reshape(outputs.shape[0], -1)

    def _separate(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N D 1"]:
        return outputs.reshape(outputs.shape[0], -1, 1)

    def gradient(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N D 1"]:
        """Gradient of the example losses in the outputs, one output a token [N, D, 1]."""
        return self._separate(super().gradient(outputs, targets))

    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N D 1 1"]:
        """sqrt(sigma(f) sigma(-f))."""
        f = self._separate(outputs)
        return (torch.sigmoid(f) * torch.sigmoid(-f)).sqrt()[..., None]

    def unit_product(
        self, outputs: Float[Tensor, "N ..."], vectors: Float[Tensor, "N D 1"]
    ) -> Float[Tensor, "N D 1"]:
        """The product sigma(f) sigma(-f) v."""
        f = self._separate(outputs)
        return (torch.sigmoid(f) * torch.sigmoid(-f)) * vectors

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples D"]:
        """Uniform numbers, one per output and sample."""
        shape = (outputs.shape[0], samples, self._separate(outputs).shape[1])
        return random_numbers(torch.rand, shape, outputs, generator)

    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples D"]
    ) -> Float[Tensor, "samples N D 1"]:
        """sigma(f) - b at labels b ~ Bernoulli(sigma(f))."""
        p = torch.sigmoid(self._separate(outputs))
        return p - (draws.transpose(0, 1)[..., None] < p).to(p)

    def bregman(
        self,
        outputs: Float[Tensor, "N ..."],
        reference: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
    ) -> Float[Tensor, " N"]:
        """Omega KL between the Bernoulli distributions, each a softmax over the logits (0, f) [N]."""
        two = _with_zero_logit(self._separate(outputs))
        two_reference = _with_zero_logit(self._separate(reference))
        labels = torch.zeros(two.shape[:-1], dtype=torch.long, device=outputs.device)
        n, d, _ = two.shape
        plain = CrossEntropy().bregman(
            two.reshape(n * d, 2), two_reference.reshape(n * d, 2), labels.reshape(n * d)
        )
        return total(self.weights(outputs, targets) * plain.reshape(n, d))


def _log_sigmoid(f: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Log sigma(f) as a softmax over (0, f): twice differentiable for every f, also under vmap."""
    return F.log_softmax(torch.stack([torch.zeros_like(f), f], dim=-1), dim=-1)[..., 1]


def _with_zero_logit(f: Float[Tensor, "N D 1"]) -> Float[Tensor, "N D 2"]:
    return torch.cat([torch.zeros_like(f), f], dim=-1)
