"""Every rung against the truth, the top and the rung before: records as a page has them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from refimpl import agreement
from refimpl.rungs.curvatures import PAIRS, STEPS, TOP, TRUTH
from refimpl.rungs.fits import Fit
from refimpl.rungs.operators import Record, operator_errors
from refimpl.rungs.setting import Setting
from refimpl.rungs.solving import Answers, solve_rung

__all__ = ["Scores", "agreements", "compare_rungs", "interval"]

Scores = Float[np.ndarray, "Q M"]


def compare_rungs(
    fits: Iterable[Fit],
    setting: Setting,
    dampings: Sequence[float],
    *,
    known: Mapping[str, Answers],
    top_k: int,
    operators: bool,
) -> tuple[dict[str, Answers], dict[str, list[Record]]]:
    """Solve every rung, and compare it with the truth, the top, and the rungs it is a step from.

    Args:
        fits: Rungs, an upper one before its lower ones.
        setting: The problem and its queries.
        dampings: The L dampings lambda, each > 0.
        known: Answers of the truth and the top, if they are not among the fits.
        top_k: Size of the top sets.
        operators: Whether matrices P x P may be formed.

    Returns:
        The answers of each rung, and records "solves", "traces", "figures" (errors against the truth
        and the top) and "steps".
    """
    known, answers = dict(known), dict[str, Answers]()
    records: dict[str, list[Record]] = {"solves": [], "traces": [], "figures": [], "steps": []}
    for fit in fits:
        new = known[fit.name] = solve_rung(fit, setting, dampings, operators=operators)
        if not fit.shown:
            continue
        answers[fit.name] = new
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
    return answers, records


def _against(
    name: str, reference: str, known: Mapping[str, Answers], dampings: Sequence[float]
) -> list[Record]:
    """Errors of one rung against a reference, at every damping."""
    errors_by_damping = _errors(known[name], known[reference], dampings)
    return [
        {"reference": reference, "damping": damping, "curvature": name, "statistic": statistic}
        | error
        for damping, errors in zip(dampings, errors_by_damping, strict=True)
        for statistic, error in errors.items()
    ]


def _step(
    upper: str, lower: str, known: Mapping[str, Answers], dampings: Sequence[float], top_k: int
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


def _errors(ours: Answers, theirs: Answers, dampings: Sequence[float]) -> list[dict[str, Record]]:
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
        scores: Influences [Q, M] by name of the rung; the reference's own are left out.
        reference: What they are compared with [Q, M].
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
        estimates = _agreement(value, reference, top_k)
        pearson[name] = estimates["pearson"]
        for statistic, estimate in estimates.items():
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
