"""What a rung answers: scores and inverse-Hessian-vector products at every damping."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.fast import LiSSA
from refimpl.problem.problem import Problem
from refimpl.rungs.fits import Fit
from refimpl.rungs.operators import Operator, Record, operator
from refimpl.rungs.setting import Setting
from refimpl.scores.examples import scores_of

__all__ = ["Answers", "solve_rung"]


@dataclass(frozen=True)
class Answers:
    """What a rung answers at each of L dampings.

    Args:
        scores: Influences; NaN at a damping where a solve missed its tolerance.
        products: Inverse-Hessian-vector products of the measurements' gradients; NaN likewise.
        solves: How well the systems were solved, a record per damping.
        traces: How an iterative solve converged, a record per damping.
        operator: The damped matrix, where it may be formed.
    """

    scores: Float[Tensor, "L Q N"]
    products: Float[Tensor, "L Q P"]
    solves: list[Record]
    traces: list[Record] = field(default_factory=list[Record])
    operator: Operator | None = None


def solve_rung(
    fit: Fit, setting: Setting, dampings: Sequence[float], *, operators: bool
) -> Answers:
    """Scores and products of one rung at every damping.

    Args:
        fit: A fitted rung.
        setting: The problem and its queries; where the rung tracks more layers, the products are
            those of this problem's parameters.
        dampings: The L dampings lambda, each > 0.
        operators: Whether matrices P x P may be formed.
    """
    measured = replace(setting, problem=fit.problem)
    gradients = measured.gradients()
    tracked = _coordinates(fit.problem, setting.problem)
    solves: list[Record] = []
    traces: list[Record] = []
    scores: list[Tensor] = []
    products: list[Tensor] = []
    for damping in dampings:
        solution = fit.curvature.solve(gradients, damping)
        certificate = solution.certificate
        missed = int((~certificate.converged).sum())
        solves.append(
            {
                "damping": damping,
                "curvature": fit.name,
                "solves": len(gradients),
                "missed": missed,
                "backward_error": float(certificate.backward_error.max()),
                "tolerance": certificate.tolerance,
            }
        )
        if missed:  # it has no answer to compare, and the page says so
            problem = setting.problem
            nothing = gradients.new_full((len(gradients), 1), torch.nan)
            scores.append(nothing.expand(-1, problem.num_examples))
            products.append(nothing.expand(-1, problem.num_parameters))
            continue
        products.append(solution.value[:, tracked])
        scores.append(scores_of(fit.problem, solution.value))
        if isinstance(fit.curvature, LiSSA) and fit.curvature.trace is not None:
            trace = fit.curvature.trace
            traces.append(
                {
                    "damping": damping,
                    "curvature": fit.name,
                    "steps": trace.steps.tolist(),
                    "residuals": trace.residuals.mean(dim=(0, 2)).tolist(),
                }
            )
    return Answers(
        torch.stack(scores),
        torch.stack(products),
        solves,
        traces,
        operator(fit.curvature) if operators and _comparable(fit, setting) else None,
    )


def _comparable(fit: Fit, setting: Setting) -> bool:
    """Whether it has a matrix of its own, of the size of the others: LiSSA's is the truth's."""
    return fit.problem is setting.problem and not isinstance(fit.curvature, LiSSA)


def _coordinates(whole: Problem, problem: Problem) -> Shaped[Tensor, " P"] | slice:
    """Where the tracked parameters stand among those of a problem that tracks more."""
    if whole is problem:
        return slice(None)
    places = {block.name: block.slice for block in whole.layout.blocks}
    numbers = torch.arange(whole.num_parameters)
    return torch.cat([numbers[places[block.name]] for block in problem.layout.blocks])
