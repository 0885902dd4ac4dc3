"""The proximal Bregman response: minimisers of its objective for many examples, with certificates."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.exact.examples import Examples, example_sets
from refimpl.exact.gauss_newton import GaussNewton
from refimpl.exact.objectives import ProximalBregmanObjective
from refimpl.exact.stationary import Response, certified_minima
from refimpl.problem import checks
from refimpl.problem.problem import Problem

__all__ = ["bregman_response", "proximal_bregman_objective"]


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
    sets = example_sets(problem, examples)
    objective = ProximalBregmanObjective.of(problem, sets, epsilon, damping)
    everyone = torch.arange(len(sets), device=problem.device)
    return objective.value_and_gradient(parameters - problem.parameters, everyone)[0]


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
        problem: The problem; its parameters are theta_s.
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
    sets = example_sets(problem, examples)
    problem.require_gradients()
    matrix = GaussNewton(problem) if preconditioner is None else preconditioner
    shifts = certified_minima(
        lambda place: ProximalBregmanObjective.of(problem, sets[place], epsilon, damping),
        problem.parameters.new_zeros(len(sets), problem.num_parameters),
        precondition=lambda v: matrix.solve_uncertified(v, damping),
        tolerance=tolerance,
        trials=quasi_newton_trials,
        newton_steps=newton_steps,
        group=group,
    )
    return replace(shifts, parameters=problem.parameters + shifts.parameters)
