"""Retraining with a weight for every example: many models at once, each with a certificate."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.exact.examples import Examples, example_sets
from refimpl.exact.objectives import WeightedObjective
from refimpl.exact.stationary import Response, certified_minima
from refimpl.problem import checks
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
        start: Starting points [K, P]; default: theta_s, a warm start.
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
        return v if preconditioner is None else preconditioner.solve_uncertified(v, decay + near)

    return certified_minima(
        lambda place: WeightedObjective.of(problem, weights[place], decay, near, begin[place]),
        begin,
        precondition=precondition,
        tolerance=tolerance,
        trials=trials,
        newton_steps=newton_steps,
        group=group,
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
    sets = example_sets(problem, examples)
    weights = problem.parameters.new_ones(len(sets), problem.num_examples)
    return train(problem, weights.scatter_(1, sets.long(), 0.0))


def _check(
    problem: Problem, weights: Float[Tensor, "K N"], start: Float[Tensor, "K P"] | None
) -> None:
    expected = {"weights": (weights, problem.num_examples)}
    if start is not None:
        expected["start"] = (start, problem.num_parameters)
    for name, (tensor, columns) in expected.items():
        if tensor.ndim != 2 or tensor.shape != (len(weights), columns) or not len(tensor):
            raise ValueError(
                f"{name} must have shape [{max(1, len(weights))}, {columns}], got "
                f"{list(tensor.shape)}"
            )
        if tensor.dtype != problem.dtype or not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} must be finite and {problem.dtype}, got {tensor.dtype}")
