"""Loss: a value with its gradient, its output Hessian, and a root of that."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from refimpl.losses.graph import recorded
from refimpl.losses.tokens import as_tokens

__all__ = ["Loss"]


class Loss(ABC):
    """A loss with a positive semidefinite output Hessian: all that a curvature is made of.

    A subclass says what its `value` is, which targets fit (`check`), and gives a root of the output
    Hessian (`hessian_root`), a block for each token; everything else follows. `bregman` is needed for
    responses alone. A loss that is a likelihood, from whose distribution labels can be drawn, is a
    `LikelihoodLoss`.

    Every method treats the first axis as examples; outputs are [N, *tokens, C], and a token's C outputs
    are a block of the Hessian. Axes of the tokens become one, T.

    Example:
        The pseudo-Huber loss, sum_c sqrt(1 + (f_c - y_c)^2) - 1:

        >>> class PseudoHuber(Loss):
        ...     def check(self, outputs, targets):
        ...         if targets.shape != outputs.shape:
        ...             raise ValueError(f"targets must be {outputs.shape}, got {targets.shape}")
        ...     def value(self, outputs, targets):
        ...         return ((1 + (outputs - targets) ** 2).sqrt() - 1).flatten(1).sum(dim=1)
        ...     def hessian_root(self, outputs, targets):
        ...         return torch.diag_embed((1 + as_tokens(outputs - targets) ** 2) ** -0.75)
        >>> PseudoHuber().hessian(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([[[[1., 0.],
                  [0., 1.]]]])
    """

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
        """Example losses, summed over tokens [N]; twice differentiable in the outputs, also under vmap."""

    @abstractmethod
    def hessian_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian of each token."""

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

    def hessian_product(
        self,
        outputs: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
        vectors: Float[Tensor, "N ..."],
    ) -> Float[Tensor, "N ..."]:
        """The output Hessian times vectors of the outputs' shape, no C x C product being formed."""
        root = self.hessian_root(outputs, targets)
        v = vectors.reshape(*root.shape[:-1], 1)
        return (root @ (root.mT @ v)).reshape(vectors.shape)

    def compact_root(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, "N T C K"]:
        """R with R R^T the output Hessian of each token, and no more columns than its rank needs."""
        return self.hessian_root(outputs, targets)

    def bregman(
        self,
        outputs: Float[Tensor, "N ..."],
        reference: Float[Tensor, "N ..."],
        targets: Shaped[Tensor, "N ..."],
    ) -> Float[Tensor, " N"]:
        """Divergence l(f) - l(f_s) - <grad l(f_s), f - f_s> of each example (Grosse et al. 2023, eq. 7).

        It is >= 0, and must be free of cancellation for f close to f_s.

        Args:
            outputs: f, [N, ...].
            reference: f_s, the outputs of the trained model, [N, ...].
            targets: Labels or values, [N, ...].

        Raises:
            ValueError: The loss has none.
        """
        raise ValueError(f"a response needs a Bregman divergence, which {self!r} does not define")

    def counted(self, targets: Shaped[Tensor, "N ..."]) -> Bool[Tensor, "N ..."] | None:
        """Which tokens count; None when all do."""
        del targets
        return None

    def log_likelihood(
        self, outputs: Float[Tensor, "N ..."], targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        """Log-likelihood of the targets, summed over tokens [N]; for losses with a likelihood only."""
        raise ValueError(
            f"measurement 'log_likelihood' needs a loss with a likelihood, not {self!r}"
        )

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
