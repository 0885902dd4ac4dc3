"""The proximal Bregman objective and its minimisers, found for many examples at once and certified."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import grad, jvp, vmap

from refimpl.curvature.curvature import Curvature, NotConverged
from refimpl.exact.gauss_newton import GaussNewton
from refimpl.exact.lbfgs import minimise
from refimpl.exact.newton import trust_region
from refimpl.problem import checks
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.problem import Problem

__all__ = [
    "Examples",
    "Response",
    "ResponseCertificate",
    "bregman_response",
    "indices",
    "proximal_bregman_objective",
]

# Numbers that the examples differentiated at once may hold: some 16 MiB stay in a processor's cache.
CACHED = 2**21
# K training examples, or K sets of as many: their indices.
Examples = Int[Tensor, "K *k"] | Sequence[int] | Sequence[Sequence[int]]


@dataclass(frozen=True)
class ResponseCertificate:
    """How stationary each response is.

    Args:
        objective: The objective's change from its value at the trained parameters, <= 0 [K].
        gradient_norm: ||gradient of the objective|| at the answer [K]. Where the objective is
            lambda-strongly convex the answer lies within gradient_norm / lambda of the minimiser.
        relative_gradient_norm: The same over the norm at the start [K].
        iterations: Accepted steps [K].
        tolerance: What relative_gradient_norm must not exceed.
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
    """Parameters after the response to each of K examples, with their certificate."""

    parameters: Float[Tensor, "K P"]
    certificate: ResponseCertificate


def proximal_bregman_objective(
    problem: Problem,
    parameters: Float[Tensor, "K P"],
    examples: Examples,
    *,
    epsilon: float,
    damping: float,
) -> Float[Tensor, " K"]:
    """PBO(theta; epsilon, m) less its value at theta_s, for each of K pairs (theta, m).

    mean_n D(f_theta(x_n), f_s(x_n)) + epsilon l_m(theta) + lambda/2 ||theta - theta_s||^2
    (Bae et al. 2022, eq. 9; Grosse et al. 2023, eq. 6).

    Args:
        problem: The problem; its parameters are theta_s.
        parameters: theta [K, P].
        examples: The training example m of each [K], or a set of them [K, k], whose losses add up.
        epsilon: Its weight, or that of every member.
        damping: lambda >= 0.
    """
    chosen = indices(problem, examples)
    pbo = _Objective.of(problem, chosen, epsilon, damping)
    everyone = torch.arange(len(chosen), device=problem.device)
    return pbo.value_and_gradient(parameters - problem.parameters, everyone)[0]


def bregman_response(
    problem: Problem,
    examples: Examples,
    *,
    epsilon: float,
    damping: float,
    tolerance: float = 1e-8,
    quasi_newton_trials: int = 200,
    newton_steps: int = 30,
    preconditioner: Curvature | None = None,
    group: int = 256,
) -> Response:
    """Minimisers of the proximal Bregman objective, started from the trained parameters.

    Minimised by L-BFGS whose initial matrix is the inverse damped curvature at the trained
    parameters, so that the first step is the influence function's own prediction; what that does
    not finish goes on by trust-region Newton steps. A step is taken only when it
    decreases the objective (to rounding), so the answer is never above the start.

    Args:
        problem: The problem.
        examples: Indices m of K training examples, or of K sets of them [K, k], whose losses add up.
        epsilon: Weight of the example's loss: 1/N counts it twice, -1/N removes it; of a set, of
            each member's.
        damping: lambda > 0.
        tolerance: Target for the gradient norm relative to the start's.
        quasi_newton_trials: L-BFGS trials per example, before
        newton_steps: trust-region Newton steps per example.
        preconditioner: Curvature at the trained parameters; default: the exact Gauss-Newton one.
        group: Examples minimised at once; memory grows with group x (80 P + activations of the data).

    Returns:
        Parameters [K, P] and a certificate; an answer that missed the tolerance is flagged there.

    Raises:
        ValueError: Examples out of range, damping <= 0, or numbers that are not finite.
    """
    damping = checks.damping(damping)
    if damping == 0.0:
        raise ValueError("the response needs a damping > 0: without it the objective may be flat")
    if not abs(epsilon) < float("inf"):
        raise ValueError(f"epsilon must be finite, got {epsilon}")
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must lie in (0, 1), got {tolerance}")
    chosen = indices(problem, examples)
    problem.require_gradients()
    matrix = GaussNewton(problem) if preconditioner is None else preconditioner
    parts = [
        _respond(
            problem, part, epsilon, damping, tolerance, quasi_newton_trials, newton_steps, matrix
        )
        for part in chosen.split(group)
    ]
    return Response(
        torch.cat([p.parameters for p in parts]),
        ResponseCertificate(
            torch.cat([p.certificate.objective for p in parts]),
            torch.cat([p.certificate.gradient_norm for p in parts]),
            torch.cat([p.certificate.relative_gradient_norm for p in parts]),
            torch.cat([p.certificate.iterations for p in parts]),
            tolerance,
        ),
    )


def _respond(
    problem: Problem,
    examples: Int[Tensor, "K k"],
    epsilon: float,
    damping: float,
    tolerance: float,
    quasi_newton_trials: int,
    newton_steps: int,
    matrix: Curvature,
) -> Response:
    pbo = _Objective.of(problem, examples, epsilon, damping)

    def precondition(v: Float[Tensor, "K P"]) -> Float[Tensor, "K P"]:
        # Any positive matrix will do: the answer's own gradient certifies it, no step need be.
        return matrix._solve(v, damping)

    start = problem.parameters.new_zeros(len(examples), problem.num_parameters)
    # The outputs carry roundings of about u max|f|, and epsilon l_m repeats them: differences of the
    # objective below this say nothing.
    largest = float(pbo.reference.abs().max())
    noise = 8 * torch.finfo(problem.dtype).eps * abs(epsilon) * (1 + largest)
    found = minimise(
        pbo.value_and_gradient,
        start,
        precondition=precondition,
        noise=noise,
        tolerance=tolerance,
        max_trials=quasi_newton_trials,
    )
    found = trust_region(
        pbo.value_and_gradient,
        pbo.hessian_product,
        found,
        precondition=precondition,
        noise=noise,
        tolerance=tolerance,
        max_steps=newton_steps,
    )
    first = found.initial_gradient_norm
    relative = torch.where(first > 0, found.gradient_norm / first, torch.zeros_like(first))
    certificate = ResponseCertificate(
        found.value, found.gradient_norm, relative, found.steps, tolerance
    )
    return Response(problem.parameters + found.point, certificate)


@dataclass(frozen=True)
class _Objective:
    """PBO(theta; epsilon, m) less its value at theta_s, of K examples m, at theta = theta_s + shift.

    Args:
        problem: The problem.
        epsilon: Weight of the examples.
        damping: lambda.
        reference: Outputs of the training data at theta_s.
        examples: Indices of the K sets of k examples [K, k].
        losses: Their losses at theta_s, summed over each set [K].
    """

    problem: Problem
    epsilon: float
    damping: float
    reference: Float[Tensor, "N ..."]
    examples: Int[Tensor, "K k"]
    losses: Float[Tensor, " K"]

    @classmethod
    def of(
        cls, problem: Problem, examples: Int[Tensor, "K k"], epsilon: float, damping: float
    ) -> "_Objective":
        """The objective of some training examples; what does not change with theta is computed here."""
        reference = problem.outputs()
        losses = problem.loss.value(reference, problem.targets)[examples].sum(dim=1)
        return cls(problem, epsilon, damping, reference, examples, losses)

    def value_and_gradient(
        self, shift: Float[Tensor, "k P"], which: Int[Tensor, " k"]
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k P"]]:
        """Values and gradients for the examples numbered `which`, each at its own shift."""
        chunk = self.problem.chunk(self.problem.num_examples, CACHED)
        theta = self.problem.parameters + shift
        return values_and_gradients(self._one, theta, *self._examples(which), chunk=chunk)

    def hessian_product(
        self, shift: Float[Tensor, "k P"], which: Int[Tensor, " k"], vectors: Float[Tensor, "k P"]
    ) -> Float[Tensor, "k P"]:
        """Hessians times vectors, for the examples numbered `which`, each at its own shift."""
        gradient = grad(self._one)

        def product(
            theta: Float[Tensor, " P"], v: Float[Tensor, " P"], *example: Any
        ) -> Float[Tensor, " P"]:
            return jvp(lambda t: gradient(t, *example), (theta,), (v,))[1]

        run = vmap(product, chunk_size=self.problem.chunk(2 * self.problem.num_examples, CACHED))
        return run(self.problem.parameters + shift, vectors, *self._examples(which))

    def _examples(self, which: Int[Tensor, " k"]) -> tuple[Tensor, Tensor]:
        return self.examples[which], self.losses[which]

    def _one(
        self, theta: Float[Tensor, " P"], examples: Int[Tensor, " k"], start: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        problem = self.problem
        outputs = problem.outputs(None, theta)
        divergence = problem.loss.bregman(outputs, self.reference, problem.targets)
        own = problem.loss.value(outputs[examples], problem.targets[examples]).sum()
        shift = theta - problem.parameters
        proximity = self.damping / 2 * (shift @ shift)
        return divergence.mean() + self.epsilon * (own - start) + proximity


def indices(problem: Problem, examples: Examples) -> Int[Tensor, "K k"]:
    """One set of examples a row.

    Args:
        problem: The problem.
        examples: As for `bregman_response`.

    Raises:
        ValueError: None, no indices, or out of range.
    """
    try:
        chosen = torch.as_tensor(examples, device=problem.device)
    except ValueError:
        raise ValueError("sets of examples must all have one size") from None
    if chosen.ndim not in (1, 2) or chosen.numel() == 0 or chosen.dtype not in checks.INDICES:
        raise ValueError(
            "examples must be a non-empty list of indices of training examples, or of sets of them"
        )
    if bool(((chosen < 0) | (chosen >= problem.num_examples)).any()):
        raise ValueError(
            f"examples must lie in [0, {problem.num_examples}), got values from "
            f"{int(chosen.min())} to {int(chosen.max())}"
        )
    return chosen.reshape(len(chosen), -1)
