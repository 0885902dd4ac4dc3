"""Losses: the value of an example, the Hessian in its outputs, the label distribution, the divergence.

An example's loss is summed over its tokens. Outputs are [N, *tokens, C] with the class axis last;
a single output per example may drop that axis. Every loss here is, up to a weight omega >= 0 per
token and a constant, the negative log-likelihood of an exponential family whose natural parameter
is the output. Its output Hessian is therefore omega times the Fisher information of the label
distribution, and does not depend on the label but through omega (Martens 2020, section 9.2).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor
from torch.nn import functional as F

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Loss", "SquaredError"]


class Loss(ABC):
    """What the rest of refimpl asks of a loss; every method treats the first axis as examples."""

    @abstractmethod
    def check(self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]) -> None:
        """Refuse targets that do not fit the outputs.

        Args:
            outputs: Model outputs, [N, ...].
            targets: Labels or values, [N, ...].

        Raises:
            ValueError: The shapes, the dtype or the values of the targets do not fit.
        """

    @abstractmethod
    def value(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Example losses, summed over tokens [N]."""

    @abstractmethod
    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log-likelihood of the targets without weights or smoothing, summed over tokens [N]."""

    @abstractmethod
    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T"]:
        """The weight omega of each token: the loss's curvature in units of the plain likelihood's."""

    @abstractmethod
    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian at omega = 1; its K columns are probability-weighted scores."""

    @abstractmethod
    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples ..."]:
        """The random numbers that `unit_scores` turns into gradients at drawn labels."""

    @abstractmethod
    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples ..."]
    ) -> Float[Tensor, "samples N T C"]:
        """Gradients of the negative log-likelihood at labels drawn from the model's own outputs."""

    @abstractmethod
    def bregman(
        self,
        outputs: Float[Tensor, "N ..."],
        reference: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
    ) -> Float[Tensor, " N"]:
        """Divergence l(f) - l(f_s) - <grad l(f_s), f - f_s> of each example (Grosse et al. 2023, eq. 7).

        Args:
            outputs: f, [N, ...].
            reference: f_s, the outputs of the trained model, [N, ...].
            targets: Labels, which matter only through the weights omega, [N, ...].

        Returns:
            The divergences, >= 0 and free of cancellation for f close to f_s, [N].
        """

    def gradient(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C"]:
        """Gradient of the example losses in the outputs, at the targets given."""

        def total(f: Float[Tensor, "N ..."]) -> Float[Tensor, ""]:
            return self.value(f, targets).sum()

        return as_tokens(torch.func.grad(total)(outputs))

    def hessian(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C C"]:
        """Hessian of the example losses in the outputs: a C x C block per token, zero between tokens."""
        root = self.hessian_root(outputs, targets)
        return root @ root.mT

    def hessian_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian of each token."""
        return self.unit_root(outputs) * self.weights(outputs, targets).sqrt()[..., None, None]

    def pseudo_gradients(
        self,
        outputs: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
        draws: Float[Tensor, "N samples ..."],
    ) -> Float[Tensor, "samples N T C"]:
        """Output gradients at drawn labels, scaled by sqrt(omega): their second moment is the Hessian."""
        omega = self.weights(outputs, targets)
        return self.unit_scores(outputs, draws) * omega.sqrt()[..., None]

    def counted(self, targets: Shaped[Tensor, "N ..."]) -> Bool[Tensor, "N ..."] | None:
        """Which tokens count; None when all do."""
        del targets
        return None

    def logit(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Logit of the target class, summed over tokens [N]; for classification losses only."""
        raise ValueError(f"measurement 'logit' needs a classification loss, not {self!r}")

    def margin(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log odds of the target class, summed over tokens [N]; for classification losses only."""
        raise ValueError(f"measurement 'margin' needs a classification loss, not {self!r}")


def as_tokens(outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C"]:
    """Outputs [N, *tokens, C] with the token axes as one; [N] becomes [N, 1, 1]."""
    if outputs.ndim == 1:
        return outputs[:, None, None]
    return outputs.reshape(outputs.shape[0], -1, outputs.shape[-1])


def _total(values: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    return values.reshape(values.shape[0], -1).sum(dim=1)


def _excess_exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """exp(x) - 1 - x without cancellation: Taylor's series where |x| < 0.1, to 1e-17 relative."""
    small = x.abs() < 0.1
    t = torch.where(small, x, torch.zeros_like(x))
    series = torch.ones_like(x)
    for k in range(12, 2, -1):
        series = 1 + series * t / k
    return torch.where(small, series * t * t / 2, torch.expm1(x) - x)


@dataclass(frozen=True, eq=False)
class CrossEntropy(Loss):
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

    def _target_mass(
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
        return -_total(self._target_mass(outputs, targets) * F.log_softmax(outputs, dim=-1))

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
        own = _one_hot(self._labels(targets), outputs.shape[-1])
        others = torch.where(own, torch.full_like(outputs, -torch.inf), outputs)
        return self._at_label(outputs - torch.logsumexp(others, dim=-1, keepdim=True), targets)

    def _at_label(
        self, values: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        chosen = values.gather(-1, self._labels(targets)[..., None])[..., 0]
        return _total(chosen * self.counted(targets))

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T"]:
        """Omega = sum_c w_c q_c: 1 for a plain token, 0 for an ignored one."""
        return as_tokens(self._target_mass(outputs, targets)).sum(dim=-1)

    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C C"]:
        """Columns sqrt(p_k) (e_k - p): R R^T = diag(p) - p p^T."""
        p = F.softmax(as_tokens(outputs), dim=-1)
        classes = p.shape[-1]
        # 1 - p_k summed from the other classes: for a saturated softmax 1 - p would lose its digits.
        complement = p @ (1 - torch.eye(classes, dtype=p.dtype, device=p.device))
        scores = -p[..., :, None].expand(*p.shape, classes)
        own = torch.eye(classes, dtype=torch.bool, device=p.device)
        scores = torch.where(own, complement[..., :, None], scores)
        return scores * p.sqrt()[..., None, :]

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples T"]:
        """Uniform numbers, one per token and sample."""
        shape = (outputs.shape[0], samples, as_tokens(outputs).shape[1])
        return _random(torch.rand, shape, outputs, generator)

    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples T"]
    ) -> Float[Tensor, "samples N T C"]:
        """P - e_y at labels y ~ p, by inverting the cumulative distribution at the uniform draws."""
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
        near = torch.log1p((p * _excess_exp(torch.where(large, 0.0, d))).sum(dim=-1))
        log_p = F.log_softmax(as_tokens(reference), dim=-1)
        far = torch.logsumexp(torch.where(large, log_p + d, -1e4), dim=-1)  # exp(-1e4) is 0
        divergence = near + F.softplus(far - near, threshold=limit)
        return _total(self.weights(outputs, targets) * divergence)


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared distance, ½ ‖f - y‖², summed over outputs and tokens."""

    def check(self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]) -> None:
        """Refuse targets that are not real numbers of the outputs' shape."""
        _check_real_targets(self, outputs, targets)

    def value(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """½ ‖f - y‖² [N]."""
        return _total((outputs - targets) ** 2) / 2

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log density of y under N(f, I), without its constant: -½ ‖f - y‖² [N]."""
        return -self.value(outputs, targets)

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T"]:
        """Omega = 1."""
        return torch.ones_like(as_tokens(outputs)[..., 0])

    def unit_root(self, outputs: Float[Tensor, "N ..."]) -> Float[Tensor, "N T C C"]:
        """The identity."""
        f = as_tokens(outputs)
        eye = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
        return eye.expand(*f.shape, f.shape[-1])

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples T C"]:
        """Standard normal numbers, one per output and sample."""
        n, *rest = as_tokens(outputs).shape
        return _random(torch.randn, (n, samples, *rest), outputs, generator)

    def unit_scores(
        self, outputs: Float[Tensor, "N ..."], draws: Float[Tensor, "N samples T C"]
    ) -> Float[Tensor, "samples N T C"]:
        """F - y at labels y ~ N(f, I)."""
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
        return _total((outputs - reference) ** 2) / 2


@dataclass(frozen=True, eq=False)
class BinaryCrossEntropy(Loss):
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
        _check_real_targets(self, outputs, targets)
        if bool(((targets < 0) | (targets > 1)).any()):
            raise ValueError("BinaryCrossEntropy needs targets in [0, 1]")
        own = outputs.shape[1:][-1:]  # (C,), or () where an example has a single output
        if isinstance(self.pos_weight, Tensor) and self.pos_weight.shape not in ((), own):
            raise ValueError(
                f"pos_weight must be a number or have shape {tuple(own)}, "
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
        return -_total(positive + (1 - targets) * _log_sigmoid(-outputs))

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Y log sigma(f) + (1 - y) log sigma(-f) [N]."""
        return _total(targets * _log_sigmoid(outputs) + (1 - targets) * _log_sigmoid(-outputs))

    def logit(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """F, the logit of the positive class, whatever the target [N]."""
        del targets
        return _total(outputs)

    def margin(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """(2y - 1) f, the log odds of the target [N]."""
        return _total((2 * targets - 1) * outputs)

    def weights(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N D"]:
        """Omega = w y + 1 - y; every output counts as a token of its own."""
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

    def draws(
        self, outputs: Float[Tensor, "N ..."], samples: int, generator: Generator | None
    ) -> Float[Tensor, "N samples D"]:
        """Uniform numbers, one per output and sample."""
        shape = (outputs.shape[0], samples, self._separate(outputs).shape[1])
        return _random(torch.rand, shape, outputs, generator)

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
        """Omega KL between the Bernoulli distributions: a softmax over the logits (0, f)."""
        two = _with_zero_logit(self._separate(outputs))
        two_reference = _with_zero_logit(self._separate(reference))
        labels = torch.zeros(two.shape[:-1], dtype=torch.long, device=outputs.device)
        n, d, _ = two.shape
        plain = CrossEntropy().bregman(
            two.reshape(n * d, 2), two_reference.reshape(n * d, 2), labels.reshape(n * d)
        )
        return _total(self.weights(outputs, targets) * plain.reshape(n, d))


def _log_sigmoid(f: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Log sigma(f) as a softmax over (0, f): twice differentiable for every f, also under vmap."""
    return F.log_softmax(torch.stack([torch.zeros_like(f), f], dim=-1), dim=-1)[..., 1]


def _one_hot(labels: Int[Tensor, "*shape"], classes: int) -> Bool[Tensor, "*shape C"]:
    """Where each class is the label; torch's own one_hot reads its values and so cannot be vmapped."""
    return labels[..., None] == torch.arange(classes, device=labels.device)


def _with_zero_logit(f: Float[Tensor, "N D 1"]) -> Float[Tensor, "N D 2"]:
    return torch.cat([torch.zeros_like(f), f], dim=-1)


def _check_real_targets(
    loss: Loss, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
) -> None:
    name = type(loss).__name__
    if not targets.is_floating_point():
        raise ValueError(f"{name} needs floating-point targets, got {targets.dtype}")
    if targets.shape != outputs.shape:
        raise ValueError(
            f"{name} needs targets of the outputs' shape {tuple(outputs.shape)}, "
            f"got {tuple(targets.shape)}"
        )


def _random(
    draw: object, shape: tuple[int, ...], like: Float[Tensor, "..."], generator: Generator | None
) -> Float[Tensor, "..."]:
    """Random numbers of `like`'s dtype, drawn where the generator lives; never the global state."""
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    values = draw(shape, dtype=like.dtype, device=generator.device, generator=generator)  # type: ignore[operator]
    return values.to(like.device)
