"""What every loss offers, and what the losses share."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from refimpl.losses.graph import recorded


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
    def unit_product(
        self, outputs: Float[Tensor, "N ..."], vectors: Float[Tensor, "N T C"]
    ) -> Float[Tensor, "N T C"]:
        """The output Hessian at omega = 1 times a vector per token, without forming it."""

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
        with torch.inference_mode(False), torch.enable_grad():
            f = recorded(outputs).detach().requires_grad_()
            return as_tokens(torch.autograd.grad(self.value(f, recorded(targets)).sum(), f)[0])

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

    def hessian_product(
        self,
        outputs: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
        vectors: Float[Tensor, "N ..."],
    ) -> Float[Tensor, "N ..."]:
        """The output Hessian times vectors of the outputs' shape, no C x C matrix being formed."""
        omega = self.weights(outputs, targets)
        v = vectors.reshape(*omega.shape, -1)
        return (self.unit_product(outputs, v) * omega[..., None]).reshape(vectors.shape)

    def compact_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian of each token, and no more columns than its rank needs."""
        return self.hessian_root(outputs, targets)

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


def total(values: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """The sum of each example's values."""
    return values.reshape(values.shape[0], -1).sum(dim=1)


def check_real_targets(
    loss: Loss, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
) -> None:
    """Refuse targets that are not floating-point numbers of the outputs' shape."""
    name = type(loss).__name__
    if not targets.is_floating_point():
        raise ValueError(f"{name} needs floating-point targets, got {targets.dtype}")
    if targets.shape != outputs.shape:
        raise ValueError(
            f"{name} needs targets of the outputs' shape {tuple(outputs.shape)}, "
            f"got {tuple(targets.shape)}"
        )


def random_numbers(
    draw: object, shape: tuple[int, ...], like: Float[Tensor, "..."], generator: Generator | None
) -> Float[Tensor, "..."]:
    """Random numbers of `like`'s dtype, drawn where the generator lives; never the global state."""
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    values = draw(shape, dtype=like.dtype, device=generator.device, generator=generator)  # type: ignore[operator]
    return values.to(like.device)
