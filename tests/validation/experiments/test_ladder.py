"""The ladder in parts: the right sign, the right columns, nothing that did not converge."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

import refimpl as ri
from refimpl.rungs.curvatures import APART, RUNGS, TOP, TRUTH, WIDER
from refimpl.rungs.fits import FITS, Fit, Precomputed
from refimpl.rungs.outcomes import SIGNS
from refimpl.rungs.parts import compare_outcomes, compare_scores
from refimpl.rungs.plan import Plan
from refimpl.rungs.saved import scores_of
from refimpl.rungs.setting import Setting
from validation.experiments import ladder
from validation.experiments.ladder import plan_of
from validation.parts.saved import Result, plain

UP, DOWN = SIGNS
PLACE = {UP: "1/+", DOWN: "1/-"}


@pytest.fixture(scope="module")
def plan(config: dict[str, Any]) -> Plan:
    return plan_of(config)


@pytest.fixture(scope="module")
def agreed(plan: Plan, scores: dict[str, Result]) -> Result:
    """Their agreement at a damping of 1."""
    return Result(plain(compare_scores(plan, scores, damping=1.0)))


@pytest.fixture(scope="module")
def retrained(ladder_of: Any, config: dict[str, Any]) -> dict[str, Result]:
    """The changes measured when examples gain and lose weight, at a damping of 1."""
    return ladder_of(config, ("exact", "responses/1/"))


def outcome(plan: Plan, scores: dict[str, Result], measured: Result, reference: str) -> Result:
    """Every rung's predictions of the measured changes, at a damping of 1."""
    records = compare_outcomes(
        plan,
        scores | {"measured": measured},
        retrained="measured",
        reference=reference,
        damping=1.0,
        statistics=None,
    )
    return Result(plain(records))


def figure(result: Result, **where: Any) -> dict[str, Any]:
    where.setdefault("reference", result.values["figures"][0]["reference"])
    (found,) = (f for f in result.values["figures"] if where.items() <= f.items())
    return found


def test_scores_are_the_public_influences_of_every_curvature(
    setting: Setting, plan: Plan, scores: dict[str, Result]
) -> None:
    problem, data = setting.problem, (setting.query_inputs, setting.query_targets)
    hessian = ri.Dense(problem, [ri.exact.hessian(problem)], positive=False)
    built = {TOP: hessian, TRUTH: ri.exact.GaussNewton(problem)}
    for group in plan.groups:
        fits = FITS[group](problem, Precomputed())
        built |= {fit.name: fit.curvature for fit in fits}
    found = scores_of(plan, scores, 1.0)
    left_out = {APART, WIDER, "LiSSA"}
    assert list(found) == [r.name for r in RUNGS if r.name not in left_out]
    for name, curvature in built.items():
        expected = ri.influence(problem, *data, curvature=curvature, damping=1.0)
        # Blocks come from the matrix here and from a sweep there: equal to rounding.
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13)
    solves = [s for part in scores.values() for s in part.values.get("solves", [])]
    assert {s["curvature"] for s in solves} == set(built)
    assert all(s["missed"] == 0 for s in solves)


def test_drawn_labels_are_compared_with_the_ekfac_that_was_saved(
    setting: Setting, config: dict[str, Any], scores: dict[str, Result]
) -> None:
    (part,) = (p for p in ladder.parts_of(lambda c, e: setting, config) if p.name == "fits/labels")

    def steps(*names: str, **changed: np.ndarray) -> Any:
        earlier = {name: scores[name] for name in names}
        if changed:
            saved = scores["fits/Kronecker"].arrays
            earlier["fits/Kronecker"] = Result({}, saved | changed)
        return plain(part.work(config, earlier)[0])["steps"]

    there = steps("exact", "fits/Kronecker")
    assert there == steps("exact")  # bit for bit what is fitted anew
    key = f"ekfac/{setting.problem.layout.blocks[0].name}/4"
    wrong = 2 * scores["fits/Kronecker"].arrays[key]
    assert there != steps("exact", **{key: wrong})


def test_figures_are_means_over_queries_against_the_truth(
    setting: Setting, scores: dict[str, Result], agreed: Result
) -> None:
    found = agreed
    problem, x, y = setting.problem, setting.query_inputs, setting.query_targets
    exact, kfac = (
        ri.influence(problem, x, y, curvature=c, damping=1.0)
        for c in (ri.exact.GaussNewton(problem), ri.fast.KFAC(problem))
    )
    expected = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(kfac, exact, strict=True)])
    got = figure(found, curvature="K-FAC", statistic="spearman")
    assert got["value"] == pytest.approx(expected, abs=1e-12)
    assert got["reference"] == TRUTH
    gradients = problem.gradients(x, y)
    a = ri.fast.KFAC(problem).solve(gradients, 1.0).value
    b = ri.exact.GaussNewton(problem).solve(gradients, 1.0).value
    error = figure(scores["fits/Kronecker"], curvature="K-FAC", statistic="ihvp_error", damping=1.0)
    assert error["value"] == pytest.approx(float(((a - b).norm(dim=1) / b.norm(dim=1)).mean()))
    assert {f["reference"] for f in found.values["figures"] if f["curvature"] == TRUTH} == {TOP}
    assert not any(f["reference"] == f["curvature"] for f in found.values["figures"])


def test_contrasts_are_paired_differences(agreed: Result) -> None:
    found = agreed
    for contrast in found.values["contrasts"]:
        first, second = (
            figure(
                found, reference=contrast["reference"], curvature=contrast[end], statistic="pearson"
            )["value"]
            for end in ("first", "second")
        )
        assert contrast["value"] == pytest.approx(first - second, abs=1e-12)


@pytest.mark.parametrize(("sign", "reference"), [(1, "PBRF +1/N"), (-1, "PBRF −1/N")])
def test_the_truth_predicts_what_retraining_does_with_its_sign(
    sign: int,
    reference: str,
    plan: Plan,
    scores: dict[str, Result],
    retrained: dict[str, Result],
) -> None:
    assert SIGNS[reference] == sign
    measured = retrained[f"responses/{PLACE[reference]}"]
    assert all(measured.values["responses"][0]["converged"])
    assert measured.arrays["change"].shape == (6, 12)
    found = outcome(plan, scores, measured, reference)
    # At so large a damping the prediction is nearly linear in epsilon; a wrong sign or factor of N
    # would give a correlation of -1 or an error above 0.9.
    assert figure(found, curvature=TRUTH, statistic="pearson")["value"] > 0.99
    assert figure(found, curvature=TRUTH, statistic="change_error")["value"] < 0.1
    assert figure(found, curvature=TRUTH, statistic="pearson")["reference"] == reference
    assert found.values["scatter"][0]["pairs"] == 6 * 12


def test_retrainings_that_did_not_converge_count_nowhere(
    plan: Plan, scores: dict[str, Result], retrained: dict[str, Result]
) -> None:
    up, kept = retrained["responses/1/+"], np.arange(12) != 4
    values = {"responses": [up.values["responses"][0] | {"converged": kept.tolist()}]}
    change = np.where(kept, up.arrays["change"], 1e9)
    found = outcome(plan, scores, Result(values, up.arrays | {"change": change}), UP)
    rows = plan.retrained_examples().numpy()[kept]
    truth = scores_of(plan, scores, 1.0)[TRUTH][:, rows]
    expected = np.mean(
        [stats.pearsonr(a, b).statistic for a, b in zip(truth, change[:, kept], strict=True)]
    )
    got = figure(found, curvature=TRUTH, statistic="pearson")
    assert got["value"] == pytest.approx(expected, abs=1e-12)
    assert found.values["scatter"][0]["pairs"] == 6 * 11


def test_only_the_headline_damping_has_a_scatter_plot(
    config: dict[str, Any], scores: dict[str, Result], retrained: dict[str, Result]
) -> None:
    elsewhere = plan_of(config | {"headline": 10.0})
    found = outcome(elsewhere, scores, retrained["responses/1/+"], UP)
    assert "scatter" not in found.values


def test_a_curvature_whose_solves_miss_their_tolerance_is_reported_and_left_out(
    ladder_of: Any, config: dict[str, Any], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits_of = FITS["Kronecker"]

    def careless(problem: ri.Problem, precomputed: Precomputed) -> Iterator[Fit]:
        for fit in fits_of(problem, precomputed):
            if fit.name == "K-FAC":
                fit.curvature.solve_uncertified = lambda vectors, damping: 1.001 * vectors  # type: ignore
            yield fit

    monkeypatch.setitem(FITS, "Kronecker", careless)
    found = ladder_of(config, ("exact", "fits/Kronecker"))
    part = found["fits/Kronecker"]
    assert [s["missed"] for s in part.values["solves"] if s["curvature"] == "K-FAC"] == [6, 6]
    assert "K-FAC" not in scores_of(plan, found, 1.0)
    assert "EK-FAC" in scores_of(plan, found, 1.0)
    agreed = compare_scores(plan, found, damping=1.0)
    for figure in (*part.values["figures"], *agreed["figures"]):
        assert figure["curvature"] != "K-FAC" or figure["statistic"].startswith("operator")
    missed = [r for r in part.values["steps"] if "K-FAC" in (r["upper"], r["lower"])]
    assert {r["statistic"] for r in missed} == {"operator_frobenius", "operator_spectral"}
    assert not any("K-FAC" in (c["first"], c["second"]) for c in agreed["contrasts"])


def test_parts_are_named_apart_and_need_what_is_listed_before(
    setting: Setting, config: dict[str, Any]
) -> None:
    parts = ladder.parts_of(lambda c, e: setting, config)
    names = ["train", *(p.name for p in parts)]
    # the truth, six groups, two dampings, and three kinds of retraining with their outcomes
    assert len(set(names)) == len(names) == 1 + 1 + 6 + 2 + 2 * 3
    for part in parts:
        assert all(names.index(need) < names.index(part.name) for need in part.needs)


def test_the_full_hessian_can_be_left_out_and_changes_nothing_else(
    ladder_of: Any, config: dict[str, Any], scores: dict[str, Result]
) -> None:
    without = ladder_of(config | {"full_hessian": False}, ("exact",))["exact"]
    both = scores["exact"].arrays
    assert set(both) - set(without.arrays) == {
        f"{kind}/{TOP}" for kind in ("scores", "products", "matrix")
    }
    for name, array in without.arrays.items():
        np.testing.assert_array_equal(array, both[name])


def test_a_study_saves_the_numbers_that_the_public_ladder_gives(
    setting: Setting, ladder_of: Any, config: dict[str, Any]
) -> None:
    every = config | {"groups": list(FITS), "retrained": dict.fromkeys("+-", config["dampings"])}
    everything = ladder_of(every, ("exact", "fits/", "influences/", "responses/", "outcomes/"))
    page = ladder.results(every, {0: everything})
    public = plain(
        ri.ladder(
            setting.problem,
            setting.query_inputs,
            setting.query_targets,
            dampings=every["dampings"],
            headline=every["headline"],
            retrain=every["examples"],
            top_k=every["top"],
            trials=every["quasi_newton_trials"],
            seed=every["seed"],
        )
    )
    shared = public.keys() & page.keys()
    assert {kind: page[kind] for kind in shared} == {kind: public[kind] for kind in shared}
    assert {"agreement", "contrasts", "steps", "scatter", "responses", "traces"} <= shared
