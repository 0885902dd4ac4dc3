"""Retraining with every example's weight at will: many models at once, each with a certificate."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad, jvp, vmap

from refimpl.curvature.curvature import Curvature
from refimpl.exact.lbfgs import minimise
from refimpl.exact.newton import trust_region
from refimpl.exact.response import Examples, Response, ResponseCertificate, indices
from refimpl.problem import checks
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.problem import Problem

__all__ = ["leave_one_out", "retrain"]


def retrain(
    problem: Problem,
    weights: Float[Tensor, "K N"],
    *,
    start: Float[Tensor, "K P"] | None = None,
    weight_decay: float = 0.0,
    proximity: float = 0.0,
    tolerance: float = 1e-6,
    trials: int = 500,
    newton_steps: int = 0,
    preconditioner: Curvature | None = None,
    group: int = 64,
) -> Response:
    """Local minimisers of K weighted training objectives, found side by side.

    (1/N) sum_n w_kn l_n(theta) + weight_decay/2 ||theta||^2 + proximity/2 ||theta - theta_s||^2, by
    full-batch L-BFGS and then trust-region Newton steps: deterministic, and stationary to the
    tolerance where the certificate says so. Only the tracked parameters move.

    Args:
        problem: The problem; its parameters are theta_s.
        weights: w, [K, N]: 1 is an example as it is, 0 leaves it out.
        start: Where each begins, [K, P]; default: theta_s, a warm start.
        weight_decay: Of all tracked parameters, as in training.
        proximity: lambda, which keeps the answer near theta_s.
        tolerance: Target for the gradient norm relative to the start's.
        trials: L-BFGS trials per model, before
        newton_steps: trust-region Newton steps per model.
        preconditioner: A curvature near the start, damped by weight_decay + proximity > 0; default:
            none.
        group: Models at once; memory grows with group x (80 P + activations of the data).

    Returns:
        Parameters [K, P] and a certificate, whose objective is the change from the start.

    Raises:
        ValueError: Shapes that do not fit, or numbers that are not finite or out of range.
    """
    _check(problem, weights, start)
    problem.require_gradients()
    decay, near = checks.damping(weight_decay), checks.damping(proximity)
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must lie in (0, 1), got {tolerance}")
    if preconditioner is not None and decay + near == 0.0:
        raise ValueError("a preconditioner is damped by weight_decay + proximity: one must be > 0")
    begin = problem.parameters.expand(len(weights), -1) if start is None else start

    def precondition(v: Float[Tensor, "K P"]) -> Float[Tensor, "K P"]:
        return v if preconditioner is None else preconditioner._solve(v, decay + near)

    parts: list[tuple[Tensor, ResponseCertificate]] = []
    for w, theta in zip(weights.split(group), begin.split(group), strict=True):
        objective = _Objective(problem, w, decay, near)
        values = objective.value_and_gradient(theta, torch.arange(len(w), device=w.device))[0]
        noise = 8 * torch.finfo(problem.dtype).eps * float(values.abs().max())
        found = minimise(
            objective.value_and_gradient, theta, precondition=precondition,
            noise=noise, tolerance=tolerance, max_trials=trials,
        )  # fmt: skip
        found = trust_region(
            objective.value_and_gradient, objective.hessian_product, found,
            precondition=precondition, noise=noise, tolerance=tolerance, max_steps=newton_steps,
        )  # fmt: skip
        first = found.initial_gradient_norm
        relative = torch.where(first > 0, found.gradient_norm / first, torch.zeros_like(first))
        change = found.value - values
        certificate = ResponseCertificate(
            change, found.gradient_norm, relative, found.steps, tolerance
        )
        parts.append((found.point, certificate))
    certificates = [certificate for _, certificate in parts]
    return Response(
        torch.cat([point for point, _ in parts]),
        ResponseCertificate(
            torch.cat([c.objective for c in certificates]),
            torch.cat([c.gradient_norm for c in certificates]),
            torch.cat([c.relative_gradient_norm for c in certificates]),
            torch.cat([c.iterations for c in certificates]),
            tolerance,
        ),
    )


def leave_one_out(
    problem: Problem,
    examples: Examples,
    *,
    train: Callable[[Problem, Float[Tensor, "K N"]], Response] = retrain,
) -> Response:
    """Local minimisers of the training objective without each of some examples, the mean still over N.

    Args:
        problem: The problem; its parameters are theta_s.
        examples: Indices of K training examples, or of K sets of them [K, k] that are left out together.
        train: From a problem and weights [K, N] to K models; `functools.partial(retrain, ...)` with the
            weight decay of the training, for one.

    Returns:
        Parameters [K, P] and a certificate.

    Raises:
        ValueError: Examples out of range, and what `train` raises.
    """
    chosen = indices(problem, examples)
    weights = problem.parameters.new_ones(len(chosen), problem.num_examples)
    return train(problem, weights.scatter_(1, chosen.long(), 0.0))


@dataclass(frozen=True)
class _Objective:
    """The training objectives of K weightings."""

    problem: Problem
    weights: Float[Tensor, "K N"]
    weight_decay: float
    proximity: float

    def value_and_gradient(
        self, theta: Float[Tensor, "k P"], which: Int[Tensor, " k"]
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k P"]]:
        """Values and gradients of the objectives numbered `which`, each at its own theta."""
        chunk = self.problem.chunk(self.problem.num_examples)
        return values_and_gradients(self._one, theta, self.weights[which], chunk=chunk)

    def hessian_product(
        self, theta: Float[Tensor, "k P"], which: Int[Tensor, " k"], vectors: Float[Tensor, "k P"]
    ) -> Float[Tensor, "k P"]:
        """Hessians times vectors, likewise."""
        gradient = grad(self._one)

        def product(
            at: Float[Tensor, " P"], v: Float[Tensor, " P"], w: Float[Tensor, " N"]
        ) -> Float[Tensor, " P"]:
            return jvp(lambda t: gradient(t, w), (at,), (v,))[1]

        run = vmap(product, chunk_size=self.problem.chunk(2 * self.problem.num_examples))
        return run(theta, vectors, self.weights[which])

    def _one(self, theta: Float[Tensor, " P"], w: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        problem = self.problem
        losses = problem.loss.value(problem.outputs(None, theta), problem.targets)
        shift = theta - problem.parameters
        penalty = self.weight_decay / 2 * (theta @ theta) + self.proximity / 2 * (shift @ shift)
        return (w @ losses) / problem.num_examples + penalty


def _check(
    problem: Problem, weights: Float[Tensor, "K N"], start: Float[Tensor, "K P"] | None
) -> None:
    wanted = {"weights": (weights, problem.num_examples)}
    if start is not None:
        wanted["start"] = (start, problem.num_parameters)
    for name, (given, columns) in wanted.items():
        if given.ndim != 2 or given.shape != (len(weights), columns) or not len(given):
            raise ValueError(
                f"{name} must have shape [{max(1, len(weights))}, {columns}], got "
                f"{list(given.shape)}"
            )
        if given.dtype != problem.dtype or not bool(torch.isfinite(given).all()):
            raise ValueError(f"{name} must be finite and {problem.dtype}, got {given.dtype}")
