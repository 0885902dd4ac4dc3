"""LikelihoodLoss: a loss from whose distribution labels can be drawn."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from refimpl.losses.loss import Loss

__all__ = ["LikelihoodLoss", "label_distribution", "random_numbers"]


class LikelihoodLoss(Loss):
    """A loss that is, up to a weight per token, the likelihood of an exponential family.

    l = -omega log p(y | f) + a constant, f being the natural parameter and omega >= 0 the token's
    weight. The output Hessian is therefore omega times the Fisher information of the label distribution
    (Martens 2020, section 9.2): a "unit" quantity here is that of omega = 1.
    """

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

    def hessian_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """The unit root times sqrt(omega)."""
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

    def pseudo_gradients(
        self,
        outputs: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
        draws: Float[Tensor, "N samples ..."],
    ) -> Float[Tensor, "samples N T C"]:
        """Output gradients at drawn labels, scaled by sqrt(omega): their second moment is the Hessian."""
        omega = self.weights(outputs, targets)
        return self.unit_scores(outputs, draws) * omega.sqrt()[..., None]


def label_distribution(loss: Loss) -> LikelihoodLoss:
    """The loss as one whose labels can be drawn.

    Raises:
        ValueError: It has no likelihood.
    """
    if isinstance(loss, LikelihoodLoss):
        return loss
    raise ValueError(
        f"fisher='sampled' draws labels from the model's distribution, and {loss!r} is the likelihood "
        "of none: use fisher='exact' or 'empirical'"
    )


def random_numbers(
    draw: object, shape: tuple[int, ...], like: Float[Tensor, "..."], generator: Generator | None
) -> Float[Tensor, "..."]:
    """Random numbers of `like`'s dtype, drawn where the generator lives; never the global state."""
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    values = draw(shape, dtype=like.dtype, device=generator.device, generator=generator)  # type: ignore[operator]
    return values.to(like.device)
