"""Every rung against the truth, the top and the rung before: records as a page has them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl import agreement
from refimpl.fast import LiSSA
from refimpl.problem.data import Data
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rungs.curvatures import PAIRS, STEPS, TOP, TRUTH, Fit
from refimpl.rungs.operators import Operator, Record, operator, operator_errors
from refimpl.scores.examples import scores_of

__all__ = ["Setting", "Solved", "agreements", "climb", "interval", "solved"]

Scores = Float[np.ndarray, "Q M"]


@dataclass(frozen=True)
class Setting:
    """A trained problem, its queries, and what is measured of them.

    Args:
        problem: The problem.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        measurement: f, as in `Problem.measure`.
    """

    problem: Problem
    query_inputs: Data
    query_targets: Shaped[Tensor, "Q ..."]
    measurement: Measurement = "loss"

    def values(self, parameters: Float[Tensor, "*K P"] | None = None) -> Float[Tensor, "*K Q"]:
        """The measurement of every query.

        Args:
            parameters: Flat theta [..., P]; default: the trained parameters.
        """
        return self.problem.measure(
            self.query_inputs, self.query_targets, self.measurement, parameters=parameters
        )

    def gradients(self) -> Float[Tensor, "Q P"]:
        """The gradients of the measurements."""
        return self.problem.measurement_gradients(
            self.query_inputs, self.query_targets, self.measurement
        )


@dataclass(frozen=True)
class Solved:
    """What a curvature gives at each of L dampings.

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


def solved(fit: Fit, at: Setting, dampings: Sequence[float], *, operators: bool) -> Solved:
    """Scores and products of one rung at every damping.

    Args:
        fit: The rung.
        at: The setting; where the rung tracks more layers, products keep this one's coordinates.
        dampings: Every lambda.
        operators: Whether its matrix may be formed.
    """
    own = replace(at, problem=fit.problem)
    gradients = own.gradients()
    tracked = _coordinates(fit.problem, at.problem)
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
            scores.append(gradients.new_full((len(gradients), at.problem.num_examples), torch.nan))
            products.append(
                gradients.new_full((len(gradients), at.problem.num_parameters), torch.nan)
            )
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
    return Solved(
        torch.stack(scores),
        torch.stack(products),
        solves,
        traces,
        operator(fit.curvature) if operators and _comparable(fit, at) else None,
    )


def _comparable(fit: Fit, at: Setting) -> bool:
    """Whether it has a matrix of its own, of the size of the others: LiSSA's is the truth's."""
    return fit.problem is at.problem and not isinstance(fit.curvature, LiSSA)


def _coordinates(whole: Problem, problem: Problem) -> Shaped[Tensor, " P"] | slice:
    """Where the tracked parameters stand among those of a problem that tracks more."""
    if whole is problem:
        return slice(None)
    at = {block.name: block.slice for block in whole.layout.blocks}
    numbers = torch.arange(whole.num_parameters)
    return torch.cat([numbers[at[block.name]] for block in problem.layout.blocks])


def climb(
    fits: Iterable[Fit],
    at: Setting,
    dampings: Sequence[float],
    *,
    known: Mapping[str, Solved],
    top_k: int,
    operators: bool,
) -> tuple[dict[str, Solved], dict[str, list[Record]]]:
    """Solve every rung, and compare it with the truth, the top, and the rungs it is a step from.

    Args:
        fits: Rungs, an upper one before its lower ones.
        at: The setting.
        dampings: Every lambda.
        known: What the truth and the top gave, if they are not among the fits.
        top_k: Size of the top sets.
        operators: Whether matrices P x P may be formed.

    Returns:
        What each rung gave, and records "solves", "traces", "figures" (errors against the truth and
        the top) and "steps".
    """
    known, found = dict(known), dict[str, Solved]()
    records: dict[str, list[Record]] = {"solves": [], "traces": [], "figures": [], "steps": []}
    for fit in fits:
        new = known[fit.name] = solved(fit, at, dampings, operators=operators)
        if not fit.shown:
            continue
        found[fit.name] = new
        records["solves"] += new.solves
        records["traces"] += new.traces
        pairs = [(fit.name, reference) for reference in (TRUTH, TOP)]
        if fit.name in (TRUTH, TOP):
            pairs += [(reference, fit.name) for reference in (TRUTH, TOP)]
        for name, reference in dict.fromkeys(pairs):
            if name != reference and name in known and reference in known:
                records["figures"] += _against(name, reference, known, dampings)
        for upper, lower in STEPS:
            if fit.name in (upper, lower) and upper in known and lower in known:
                records["steps"] += _step(upper, lower, known, dampings, top_k)
    return found, records


def _against(
    name: str, reference: str, known: Mapping[str, Solved], dampings: Sequence[float]
) -> list[Record]:
    """Errors of one rung against a reference, at every damping."""
    found = _errors(known[name], known[reference], dampings)
    return [
        {"reference": reference, "damping": damping, "curvature": name, "statistic": statistic}
        | error
        for damping, errors in zip(dampings, found, strict=True)
        for statistic, error in errors.items()
    ]


def _step(
    upper: str, lower: str, known: Mapping[str, Solved], dampings: Sequence[float], top_k: int
) -> list[Record]:
    """What is lost from one rung to the next, at every damping."""
    a, b = known[lower], known[upper]
    records: list[Record] = []
    for at, errors in enumerate(_errors(a, b, dampings)):
        ours, theirs = a.scores[at].cpu().numpy(), b.scores[at].cpu().numpy()
        if np.isfinite(ours).all() and np.isfinite(theirs).all():
            errors = errors | {s: interval(e) for s, e in _agreement(ours, theirs, top_k).items()}
        where = {"upper": upper, "lower": lower, "damping": dampings[at]}
        records += [where | {"statistic": s} | e for s, e in errors.items()]
    return records


def _errors(ours: Solved, theirs: Solved, dampings: Sequence[float]) -> list[dict[str, Record]]:
    """Relative errors of the operator and of the inverse-vector products, at every damping."""
    errors = operator_errors(ours.operator, theirs.operator, dampings)
    for at, (x, y) in enumerate(zip(ours.products, theirs.products, strict=True)):
        if bool(torch.isfinite(x).all() & torch.isfinite(y).all()):
            errors[at]["ihvp_error"] = interval(agreement.relative_error(x, y))
    return errors


def agreements(
    scores: Mapping[str, Scores], reference: Scores, top_k: int, common: Record
) -> dict[str, list[Record]]:
    """Agreement of all scores with a reference's, and paired differences.

    Args:
        scores: By name of the rung; the reference's own are left out.
        reference: What they are compared with.
        top_k: Size of the top sets.
        common: What every record begins with, "reference" among it.

    Returns:
        Records "figures" and "contrasts".
    """
    figures: list[Record] = []
    pearson: dict[str, agreement.Estimate] = {}
    for name, value in scores.items():
        if name == common["reference"]:
            continue
        found = _agreement(value, reference, top_k)
        pearson[name] = found["pearson"]
        for statistic, estimate in found.items():
            figures.append(
                common | {"curvature": name, "statistic": statistic} | interval(estimate)
            )
    contrasts = [
        common
        | {"first": first, "second": second, "statistic": "pearson"}
        | interval(agreement.difference(pearson[first], pearson[second]))
        for first, second in PAIRS
        if first in pearson and second in pearson
    ]
    return {"figures": figures, "contrasts": contrasts}


def _agreement(value: Scores, reference: Scores, top_k: int) -> dict[str, agreement.Estimate]:
    return {
        "pearson": agreement.pearson(value, reference),
        "spearman": agreement.spearman(value, reference),
        "kendall": agreement.kendall(value, reference),
        # of the strongest, whatever their sign
        "top_k": agreement.top_k_overlap(value, reference, top_k, by="magnitude").overlap,
    }


def interval(estimate: agreement.Estimate) -> Record:
    """An estimate as records have it.

    Args:
        estimate: A mean over queries.
    """
    return {
        "value": estimate.value,
        "low": estimate.interval.low,
        "high": estimate.interval.high,
        "undefined": estimate.undefined,
    }
