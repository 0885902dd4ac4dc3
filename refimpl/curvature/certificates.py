"""Certificates of solves: residual, backward error, and a bound on the forward error."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Certificate", "NotConverged", "Solution", "certify", "reshaped"]


class NotConverged(RuntimeError):
    """An answer missed its tolerance."""


@dataclass(frozen=True)
class Certificate:
    """The accuracy of a solve of (H + lambda I) x = b, one entry per right-hand side.

    Args:
        residual: ||b - (H + lambda I) x||_2.
        backward_error: The normwise backward error of Rigal & Gaches (1967),
            ||r|| / (||H + lambda I||_2 ||x|| + ||b||).
        forward_error_bound: Bound on ||x - x*|| / ||x*||, from eta and the condition number kappa:
            2 kappa eta / (1 - kappa eta) (Higham 2002, theorem 7.2); infinite where it says nothing.
        tolerance: Bound on the backward error.
    """

    residual: Float[Tensor, "*k"]
    backward_error: Float[Tensor, "*k"]
    forward_error_bound: Float[Tensor, "*k"]
    tolerance: float

    @property
    def converged(self) -> Bool[Tensor, "*k"]:
        """Which right-hand sides met the tolerance; NaN does not."""
        return self.backward_error <= self.tolerance

    def require(self) -> None:
        """Raise unless every answer met its tolerance.

        Raises:
            NotConverged: Some backward error exceeds the tolerance.
        """
        missed = int((~self.converged).sum())
        if missed:
            worst = float(self.backward_error.max())
            raise NotConverged(
                f"{missed} of {self.converged.numel()} solves missed their tolerance: worst "
                f"backward error {worst:.1e}, tolerance {self.tolerance:.1e}. Use a larger damping, "
                "dtype=torch.float64, or a looser tolerance"
            )


@dataclass(frozen=True)
class Solution:
    """The answer x of (H + lambda I) x = b with its certificate."""

    value: Float[Tensor, "*k P"]
    certificate: Certificate


def certify(
    b: Float[Tensor, "k P"],
    x: Float[Tensor, "k P"],
    remainder: Float[Tensor, "k P"],
    *,
    smallest: float,
    norm: float,
    tolerance: float,
) -> Certificate:
    """The certificate of x as a solution of A x = b, with a symmetric A.

    Args:
        b: Right-hand sides, [k, P].
        x: Solutions, [k, P].
        remainder: b - A x, [k, P].
        smallest: The smallest absolute eigenvalue of A; 0 where it is not known.
        norm: The largest absolute eigenvalue of A.
        tolerance: Bound on the backward error.
    """
    residual = remainder.norm(dim=-1)
    scale = norm * x.norm(dim=-1) + b.norm(dim=-1)
    eta = torch.where(residual == 0, torch.zeros_like(residual), residual / scale)
    kappa = norm / smallest if smallest > 0 else float("inf")
    slack = 1 - kappa * eta
    bound = torch.where(slack > 0, 2 * kappa * eta / slack, torch.full_like(eta, torch.inf))
    return Certificate(residual, eta, bound, tolerance)


def reshaped(x: Float[Tensor, "k P"], certificate: Certificate, shape: tuple[int, ...]) -> Solution:
    """Solutions and their certificate in the shape of the right-hand sides.

    Args:
        x: Solutions, [k, P].
        certificate: Certificate with an entry [k] for each of them.
        shape: Shape of the right-hand sides, [..., P].
    """
    lead = shape[:-1]
    return Solution(
        x.reshape(shape),
        Certificate(
            certificate.residual.reshape(lead),
            certificate.backward_error.reshape(lead),
            certificate.forward_error_bound.reshape(lead),
            certificate.tolerance,
        ),
    )
