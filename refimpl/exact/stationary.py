"""Stationary points of many objectives, found side by side and each certified by its own gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from refimpl.curvature.certificates import NotConverged
from refimpl.exact.lbfgs import minimise
from refimpl.exact.newton import trust_region

__all__ = ["Objective", "Response", "ResponseCertificate", "certified_minima"]


class Objective(Protocol):
    """K functions of P numbers each, with derivatives, that are minimised side by side."""

    @property
    def initial(self) -> Float[Tensor, " K"]:
        """Values at the start [K]."""
        ...

    @property
    def rounding(self) -> float:
        """A bound on the rounding error of the values, from the rounding of their inputs alone."""
        ...

    def value_and_gradient(
        self, points: Float[Tensor, "k P"], which: Int[Tensor, " k"], /
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k P"]]:
        """Values and gradients of the functions numbered `which`, each at its own point."""
        ...

    def hessian_product(
        self,
        points: Float[Tensor, "k P"],
        which: Int[Tensor, " k"],
        vectors: Float[Tensor, "k P"],
        /,
    ) -> Float[Tensor, "k P"]:
        """The functions' Hessians there times vectors."""
        ...


@dataclass(frozen=True)
class ResponseCertificate:
    """The stationarity of each response.

    Args:
        objective: The objective's change from its value at the start, <= 0 [K].
        gradient_norm: ||gradient of the objective|| at the answer [K]. Where the objective is
            lambda-strongly convex the answer lies within gradient_norm / lambda of the minimiser.
        relative_gradient_norm: The same over the norm at the start [K].
        iterations: Accepted steps [K].
        tolerance: Bound on relative_gradient_norm.
    """

    objective: Float[Tensor, " K"]
    gradient_norm: Float[Tensor, " K"]
    relative_gradient_norm: Float[Tensor, " K"]
    iterations: Int[Tensor, " K"]
    tolerance: float

    @property
    def converged(self) -> Bool[Tensor, " K"]:
        """Which responses met the tolerance; NaN does not."""
        return self.relative_gradient_norm <= self.tolerance

    def require(self) -> None:
        """Raise unless every response met its tolerance.

        Raises:
            NotConverged: Some did not.
        """
        missed = int((~self.converged).sum())
        if missed:
            raise NotConverged(
                f"{missed} of {self.converged.numel()} responses missed the relative gradient norm "
                f"{self.tolerance:.0e} (worst {float(self.relative_gradient_norm.max()):.1e}): allow "
                "more iterations, or use a larger damping"
            )


@dataclass(frozen=True)
class Response:
    """Parameters after the response to each of K examples or weightings, with their certificate."""

    parameters: Float[Tensor, "K P"]
    certificate: ResponseCertificate


def certified_minima(
    objective_of: Callable[[slice], Objective],
    start: Float[Tensor, "K P"],
    *,
    precondition: Callable[[Float[Tensor, "k P"]], Float[Tensor, "k P"]],
    tolerance: float,
    trials: int,
    newton_steps: int,
    group: int,
) -> Response:
    """Local minimisers of K objectives: by L-BFGS, and by trust-region Newton what that leaves.

    A step is taken only when it decreases the objective (to rounding), so no answer lies above its
    start.

    Args:
        objective_of: Gives the objectives of a slice of the K.
        start: Starting points [K, P].
        precondition: An approximate inverse Hessian, symmetric and positive definite. Any will do:
            the answer's own gradient certifies it, no step need be exact.
        tolerance: Target for the gradient norm relative to the start's.
        trials: L-BFGS trials per objective, before
        newton_steps: trust-region Newton steps per objective.
        group: Objectives minimised at once.

    Returns:
        Points [K, P] and a certificate; an answer that missed the tolerance is flagged there.
    """
    parts: list[Response] = []
    for first in range(0, len(start), group):
        place = slice(first, first + group)
        objective = objective_of(place)
        minimum = minimise(
            objective.value_and_gradient,
            start[place],
            precondition=precondition,
            noise=objective.rounding,
            tolerance=tolerance,
            max_trials=trials,
        )
        minimum = trust_region(
            objective.value_and_gradient,
            objective.hessian_product,
            minimum,
            precondition=precondition,
            noise=objective.rounding,
            tolerance=tolerance,
            max_steps=newton_steps,
        )
        norm, at_start = minimum.gradient_norm, minimum.initial_gradient_norm
        certificate = ResponseCertificate(
            minimum.value - objective.initial,
            norm,
            torch.where(at_start > 0, norm / at_start, torch.zeros_like(norm)),
            minimum.steps,
            tolerance,
        )
        parts.append(Response(minimum.point, certificate))
    return _joined(parts, tolerance)


def _joined(parts: list[Response], tolerance: float) -> Response:
    certificates = [part.certificate for part in parts]
    return Response(
        torch.cat([part.parameters for part in parts]),
        ResponseCertificate(
            torch.cat([c.objective for c in certificates]),
            torch.cat([c.gradient_norm for c in certificates]),
            torch.cat([c.relative_gradient_norm for c in certificates]),
            torch.cat([c.iterations for c in certificates]),
            tolerance,
        ),
    )
