"""Softmax cross-entropy over integer labels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor
from torch.nn import functional as F

from refimpl.losses.cancellation import excess_exp
from refimpl.losses.likelihood import LikelihoodLoss, random_numbers
from refimpl.losses.tokens import as_tokens, total


@dataclass(frozen=True, eq=False)
class CrossEntropy(LikelihoodLoss):
    """Softmax cross-entropy with integer labels: -log softmax(f)_y, summed over tokens.

    Args:
        ignore_index: Label of tokens that count nothing.
        weight: Weight of each class [C], multiplying the loss of a token by its label's weight.
        label_smoothing: Share s in [0, 1) of the target spread evenly over the classes, as in
            torch.nn.functional.cross_entropy.

    Raises:
        ValueError: A weight is negative or not finite, or label_smoothing lies outside [0, 1).
    """

    ignore_index: int = -100
    weight: Float[Tensor, " C"] | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")
        if self.weight is not None and not bool(
            (torch.isfinite(self.weight) & (self.weight >= 0)).all()
        ):
            raise ValueError("class weights must be finite and >= 0")

    def check(self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]) -> None:
        """Refuse labels that are not integers in [0, C) or ignore_index, one per token."""
        if outputs.ndim < 2:
            raise ValueError(
                "CrossEntropy needs outputs [N, *tokens, C] with the class axis last, "
                f"got {tuple(outputs.shape)}"
            )
        if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
            raise ValueError(f"CrossEntropy needs integer class labels, got {targets.dtype}")
        if targets.shape != outputs.shape[:-1]:
            raise ValueError(
                f"CrossEntropy needs one label per token: outputs are {tuple(outputs.shape)}, so "
                f"targets must be {tuple(outputs.shape[:-1])}, got {tuple(targets.shape)}"
            )
        classes, labels = outputs.shape[-1], targets.long()
        wrong = self.counted(targets) & ((labels < 0) | (labels >= classes))
        if bool(wrong.any()):
            raise ValueError(
                f"labels must lie in [0, {classes}) or equal ignore_index={self.ignore_index}, "
                f"got {int(labels[wrong][0])}"
            )
        if self.weight is not None and self.weight.shape != (classes,):
            raise ValueError(
                f"class weights must have shape ({classes},), got {tuple(self.weight.shape)}"
            )

    def counted(self, targets: Shaped[Tensor, "N ..."]) -> Bool[Tensor, "N ..."]:
        """Which tokens count: those whose label is not ignore_index."""
        return targets.long() != self.ignore_index  # -100 compared in uint8 would be 156

    def _labels(self, targets: Shaped[Tensor, "N ..."]) -> Shaped[Tensor, "N ..."]:
        """Targets as valid indices; ignored ones become 0 and are masked afterwards."""
        return torch.where(self.counted(targets), targets, 0).long()

    def target_mass(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N ..."]:
        """Class-weighted smoothed target w_c q_c, zero where ignored; same shape as the outputs."""
        classes = outputs.shape[-1]
        q = _one_hot(self._labels(targets), classes).to(outputs)
        q = (1 - self.label_smoothing) * q + self.label_smoothing / classes
        if self.weight is not None:
            q = q * self.weight.to(outputs)
        return q * self.counted(targets)[..., None]

    def value(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """-sum_c w_c q_c log softmax(f)_c, summed over tokens [N]."""
        return -total(self.target_mass(outputs, targets) * F.log_softmax(outputs, dim=-1))

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log p(y | x), summed over counted tokens [N]."""
        return self._at_label(F.log_softmax(outputs, dim=-1), targets)

    def logit(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """f_y, summed over counted tokens [N]."""
        return self._at_label(outputs, targets)

    def margin(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log p_y / (1 - p_y) = f_y - log sum_{c != y} exp f_c (Park et al. 2023, TRAK, section 3.1)."""
        if outputs.shape[-1] < 2:
            raise ValueError("measurement 'margin' needs at least two classes")
        label = _one_hot(self._labels(targets), outputs.shape[-1])
        others = torch.where(label, torch.full_like(outputs, -torch.inf), outputs)
        return self._at_label(outputs - torch.logsumexp(others, dim=-1, keepdim=True), targets)

    def _at_label(
        self, values: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        chosen = values.gather(-1, self._labels(targets)[..., None])[..., 0]
        return total(chosen * self.counted(targets))

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T"]:
        """The weight omega = sum_c w_c q_c: 1 for a plain token, 0 for an ignored one."""
        return as_tokens(self.target_mass(outputs, targets)).sum(dim=-1)

    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C C"]:
        """Columns sqrt(p_k) (e_k - p): R R^T = diag(p) - p p^T."""
        p = F.softmax(as_tokens(outputs), dim=-1)
        classes = p.shape[-1]
        # 1 - p_k summed from the other classes: for a saturated softmax 1 - p would lose its digits.
        complement = p @ (1 - torch.eye(classes, dtype=p.dtype, device=p.device))
        scores = -p[..., :, None].expand(*p.shape, classes)
        diagonal = torch.eye(classes, dtype=torch.bool, device=p.device)
        scores = torch.where(diagonal, complement[..., :, None], scores)
        return scores * p.sqrt()[..., None, :]

    def unit_product(
        self, outputs: Float[Tensor, "N ..."], vectors: Float[Tensor, "N T C"]
    ) -> Float[Tensor, "N T C"]:
        """The product p * (w - p.w), w being v less its entry at the likeliest class.

        The Hessian of a softmax annihilates constants; without the shift p.v would cancel the digits of
        v where p is near 1.
        """
        p = F.softmax(as_tokens(outputs), dim=-1)
        w = vectors - vectors.gather(-1, p.argmax(dim=-1, keepdim=True))
        return p * (w - (p * w).sum(dim=-1, keepdim=True))

    def compact_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian in C - 1 columns, its rank; one where there is one class.

        The root R of `hessian_root` annihilates sqrt(p). The Householder reflection that takes sqrt(p)
        to -e_C, I - w w^T / (1 + sqrt(p_C)) with w = sqrt(p) + e_C, so takes R to a root whose last
        column is zero; with R w = R e_C the others are R e_k - sqrt(p_k) / (1 + sqrt(p_C)) R e_C.
        """
        root = self.hessian_root(outputs, targets)
        if root.shape[-1] == 1:
            return root
        s = F.softmax(as_tokens(outputs), dim=-1).sqrt()[..., None, :]
        return root[..., :-1] - root[..., -1:] * (s[..., :-1] / (1 + s[..., -1:]))

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples T"]:
        """Uniform numbers, one per token and sample."""
        shape = (outputs.shape[0], samples, as_tokens(outputs).shape[1])
        return random_numbers(torch.rand, shape, outputs, generator)

    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples T"]
    ) -> Float[Tensor, "samples N T C"]:
        """The scores p - e_y at labels y ~ p: the cumulative distribution inverted at uniform draws."""
        p = F.softmax(as_tokens(outputs), dim=-1)
        cumulative = p.cumsum(dim=-1)
        u = draws.transpose(0, 1) * cumulative[..., -1]  # the last entry is 1 up to rounding
        labels = (u[..., None] >= cumulative).sum(dim=-1).clamp(max=p.shape[-1] - 1)
        return p - _one_hot(labels, p.shape[-1]).to(p)

    def bregman(
        self,
        outputs: Float[Tensor, "N ..."],
        reference: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
    ) -> Float[Tensor, " N"]:
        """Omega KL(p_s || p) = omega log sum_c p_s exp(d), d = f - f_s centred under p_s [N]."""
        d = as_tokens(outputs) - as_tokens(reference)
        p = F.softmax(as_tokens(reference), dim=-1)
        d = d - (p * d).sum(dim=-1, keepdim=True)
        # D = log(1 + sum_c p_s (exp(d) - 1 - d)): every term is >= 0, so that nothing cancels. The
        # terms whose exp would overflow (squared, in second derivatives) are added as logarithms;
        # there exp(d) alone is all of the term.
        limit = math.log(torch.finfo(d.dtype).max) / 2
        large = d > limit
        near = torch.log1p((p * excess_exp(torch.where(large, 0.0, d))).sum(dim=-1))
        log_p = F.log_softmax(as_tokens(reference), dim=-1)
        far = torch.logsumexp(torch.where(large, log_p + d, -1e4), dim=-1)  # exp(-1e4) is 0
        divergence = near + F.softplus(far - near, threshold=limit)
        return total(self.weights(outputs, targets) * divergence)


def _one_hot(labels: Int[Tensor, "*shape"], classes: int) -> Bool[Tensor, "*shape C"]:
    """Where each class is the label; torch's own one_hot reads its values and so cannot be vmapped."""
    return labels[..., None] == torch.arange(classes, device=labels.device)
