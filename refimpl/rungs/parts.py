"""The climb in parts: fits, scores, agreements and outcomes, each from what earlier parts gave."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from refimpl import exact
from refimpl.curvature.curvature import Curvature
from refimpl.curvature.dense import Dense
from refimpl.fast import EKFAC
from refimpl.rungs.comparisons import agreements, compare_rungs
from refimpl.rungs.curvatures import HEADLINE, TOP, TRUTH
from refimpl.rungs.fits import FITS, Fit, Precomputed
from refimpl.rungs.operators import Record
from refimpl.rungs.outcomes import SIGNS, compare_predictions, retrain_examples, scatter
from refimpl.rungs.plan import Arrays, Earlier, Part, Plan
from refimpl.rungs.saved import (
    array,
    eigen_arrays,
    ekfac_of,
    matrix_of,
    score_arrays,
    scores_of,
    truths_of,
)
from refimpl.rungs.setting import Setting

__all__ = ["compare_outcomes", "compare_scores", "ladder_parts", "outcome_part"]

Records = dict[str, list[Record]]
KRONECKER = "fits/Kronecker"  # the part that fits the EK-FAC whose labels are not drawn


def ladder_parts(plan: Plan, given: Mapping[str, Curvature] | None = None) -> list[Part]:
    """The parts of a climb, each after those that it needs.

    Args:
        plan: What is compared.
        given: The fitted curvatures that the plan names; they stay in this process.
    """
    fits = fit_parts(plan)
    parts = [Part("exact", solve_truths)]
    for group in plan.groups:
        ekfac = (KRONECKER,) if group == "labels" and KRONECKER in fits else ()
        work = partial(solve_group, group=group)
        parts.append(Part(f"fits/{group}", work, ("exact", *ekfac), title=f"rungs: {group}"))
    if plan.given:
        work = partial(solve_given, curvatures=given or {})
        parts.append(Part("fits/given", work, ("exact",), title="rungs: given"))
    for damping in plan.dampings:
        name = f"influences/{damping:g}"
        work = partial(compare_scores, damping=damping)
        parts.append(Part(name, work, ("exact", *fits), takes_setting=False))
        for reference, sign in SIGNS.items():
            if damping not in plan.retrained.get(reference, ()):
                continue
            place = f"{damping:g}/{'+' if sign > 0 else '-'}"
            work = partial(retrain, reference=reference, damping=damping)
            title = f"retraining {plan.examples} examples, {reference}, λ = {damping:g}"
            parts.append(Part(f"responses/{place}", work, ("exact",), title=title))
            parts.append(
                outcome_part(
                    f"outcomes/{place}",
                    plan,
                    f"responses/{place}",
                    reference=reference,
                    damping=damping,
                )
            )
    return parts


def fit_parts(plan: Plan) -> list[str]:
    """Names of the parts that hold scores of rungs, but for the exact ones."""
    return [f"fits/{group}" for group in (*plan.groups, *(["given"] if plan.given else []))]


def outcome_part(
    name: str,
    plan: Plan,
    retrained: str,
    *,
    reference: str,
    damping: float,
    statistics: Sequence[str] | None = None,
) -> Part:
    """The part that compares every rung's predictions with measured changes.

    Args:
        name: Its name.
        plan: What is compared.
        retrained: The part whose arrays are "change" [Q, K], of the queries' measurements, and
            "weights" [K, N], by how much each retraining changed those of the training examples.
        reference: What the changes are called.
        damping: lambda.
        statistics: Which statistics are kept, and no scatter plot; default: all.
    """
    options = {"reference": reference, "damping": damping, "statistics": statistics}
    work = partial(compare_outcomes, retrained=retrained, **options)
    return Part(name, work, ("exact", *fit_parts(plan), retrained), takes_setting=False)


def solve_truths(plan: Plan, earlier: Earlier, setting: Setting) -> tuple[dict[str, Any], Arrays]:
    """The exact GNH at every damping, and the full Hessian, where matrices P x P are formed."""
    del earlier
    problem = setting.problem
    curvature = exact.GaussNewton(problem, plan.method)
    matrices, fits = {}, [Fit(TRUTH, curvature, problem)]
    if curvature.method == "primal":
        matrices = {TRUTH: curvature.dense()}
        if plan.full_hessian:
            matrices[TOP] = exact.hessian(problem)
            fits.append(Fit(TOP, Dense(problem, [matrices[TOP]], positive=False), problem))
    answers, records = compare_rungs(
        fits, setting, plan.dampings, known={}, top_k=plan.top_k, operators=bool(matrices)
    )
    arrays = score_arrays(answers)
    arrays |= {f"products/{name}": array(answer.products) for name, answer in answers.items()}
    arrays |= {f"matrix/{name}": array(matrix) for name, matrix in matrices.items()}
    return _seeded(records, plan) | {"method": curvature.method}, arrays


def solve_group(
    plan: Plan, earlier: Earlier, setting: Setting, *, group: str
) -> tuple[Records, Arrays]:
    """Scores of a group of rungs, their errors, and what each adds to the one before."""
    problem = setting.problem
    ekfac = ekfac_of(problem, earlier[KRONECKER].arrays) if KRONECKER in earlier else None
    precomputed = Precomputed(plan.seed, matrix_of(problem, earlier), ekfac)
    eigen: Arrays = {}

    def fits() -> Iterator[Fit]:
        for fit in FITS[group](problem, precomputed):
            if fit.name == HEADLINE and fit.shown:
                assert isinstance(fit.curvature, EKFAC)
                eigen.update(eigen_arrays(fit.curvature))
            yield fit

    records, scores = _solve(fits(), plan, earlier, setting)
    return records, scores | eigen


def solve_given(
    plan: Plan, earlier: Earlier, setting: Setting, *, curvatures: Mapping[str, Curvature]
) -> tuple[Records, Arrays]:
    """Scores and errors of curvatures that the caller has fitted."""
    fits = [Fit(name, curvatures[name], setting.problem) for name in plan.given]
    return _solve(fits, plan, earlier, setting)


def _solve(
    fits: Iterable[Fit], plan: Plan, earlier: Earlier, setting: Setting
) -> tuple[Records, Arrays]:
    answers, records = compare_rungs(
        fits,
        setting,
        plan.dampings,
        known=truths_of(setting.problem, earlier),
        top_k=plan.top_k,
        operators=matrix_of(setting.problem, earlier) is not None,
    )
    return _seeded(records, plan), score_arrays(answers)


def compare_scores(plan: Plan, earlier: Earlier, *, damping: float) -> Records:
    """Every rung's scores against the exact ones and the full Hessian's, at one damping.

    Args:
        plan: What is compared.
        earlier: Results with the scores of every rung.
        damping: lambda.
    """
    scores = scores_of(plan, earlier, damping)
    records: Records = {"figures": [], "contrasts": []}
    for reference in (TRUTH, TOP):
        if reference in scores:
            common = plan.common(reference, damping)
            compared = agreements(scores, scores[reference], plan.top_k, common)
            records["figures"] += compared["figures"]
            records["contrasts"] += compared["contrasts"]
    return records


def retrain(
    plan: Plan, earlier: Earlier, setting: Setting, *, reference: str, damping: float
) -> tuple[Records, Arrays]:
    """The measured change of every query when each example gains the weight +-1/N."""
    examples = plan.retrained_examples()
    record, change = retrain_examples(
        setting,
        examples,
        reference=reference,
        damping=damping,
        trials=plan.trials,
        matrix=matrix_of(setting.problem, earlier),
    )
    weights = np.zeros((len(examples), plan.num_examples))
    weights[range(len(examples)), examples.numpy()] = SIGNS[reference] / plan.num_examples
    return _seeded({"responses": [record]}, plan), {"change": array(change), "weights": weights}


def compare_outcomes(
    plan: Plan,
    earlier: Earlier,
    *,
    retrained: str,
    reference: str,
    damping: float,
    statistics: Sequence[str] | None,
) -> Records:
    """Every rung's predicted changes against the measured ones of converged retrainings.

    Args:
        plan: What is compared.
        earlier: Results with the scores of every rung, and that of the retrainings.
        retrained: The part that retrained.
        reference: What its changes are called.
        damping: lambda.
        statistics: As for `outcome_part`.
    """
    measured = earlier[retrained]
    converged = np.array(measured.values["responses"][0]["converged"])
    change, weights = measured.arrays["change"][:, converged], measured.arrays["weights"][converged]
    scores = scores_of(plan, earlier, damping)
    predictions = {name: value @ weights.T for name, value in scores.items()}
    common = plan.common(reference, damping)
    records = compare_predictions(predictions, change, plan.top_k, common)
    if statistics is not None:
        records["figures"] = [f for f in records["figures"] if f["statistic"] in statistics]
    elif damping == plan.headline and records["figures"] and reference in SIGNS:
        records["scatter"] = [common | scatter(predictions, change, plan.seed)]
    return records


def _seeded(records: Mapping[str, list[Record]], plan: Plan) -> dict[str, Any]:
    """The records of a page, which say of which seed they are."""
    return {
        kind: [{"seed": plan.seed, **record} for record in listed]
        for kind, listed in records.items()
    }
