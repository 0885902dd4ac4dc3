"""Comparisons: the right sign, the right columns, nothing that did not converge."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import refimpl as ri
from refimpl.rungs import curvatures
from refimpl.rungs.comparisons import Setting
from refimpl.rungs.curvatures import APART, FITS, RUNGS, TOP, TRUTH, WIDER, Known
from refimpl.rungs.outcomes import SIGNS
from validation.experiments import comparisons, images
from validation.parts.saved import Result, plain

CONFIG: dict[str, Any] = {
    "seed": 0, "train": 40, "queries": 6, "examples": 12, "top": 3, "headline": 1.0,
    "notable": 1e-4, "quasi_newton_trials": 400, "dampings": [10.0, 1.0],
    "groups": ["wider", "Kronecker", "labels", "empirical", "diagonal", "identity"],
    "retrained": {"+": [10.0, 1.0], "-": [1.0]},
}  # fmt: skip
AT_ONE = CONFIG | {"damping": 1.0}


@pytest.fixture(scope="module")
def setting() -> Setting:
    """A small softmax MLP on noise."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = torch.nn.Sequential(
        torch.nn.utils.skip_init(torch.nn.Linear, 4, 3, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.utils.skip_init(torch.nn.Linear, 3, 3, dtype=torch.float64),
    )
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(noise(*p.shape))
    labels = torch.arange(46) % 3
    inputs = noise(46, 4)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), inputs[:40], labels[:40])
    return Setting(problem, inputs[40:], labels[40:])


def done(found: Any) -> Result:
    values, arrays = found if isinstance(found, tuple) else (found, {})
    return Result(plain(values), arrays)


@pytest.fixture(scope="module")
def scores(setting: Setting) -> dict[str, Result]:
    """Every curvature's scores at both dampings, by part."""
    return fitted(setting)


def fitted(setting: Setting, config: dict[str, Any] = CONFIG) -> dict[str, Result]:
    found = {"exact": done(comparisons.exact(lambda c, e: setting, config, {}))}
    for group in config["groups"]:
        part = comparisons.fit(lambda c, e: setting, config | {"group": group}, found)
        found[f"fits/{group}"] = done(part)
    return found


@pytest.fixture(scope="module")
def agreed(scores: dict[str, Result]) -> Result:
    """Their agreement at a damping of 1."""
    return done(comparisons.influences(AT_ONE, scores))


def outcome(sign: int, reference: str) -> dict[str, Any]:
    assert SIGNS[reference] == sign
    return AT_ONE | {"reference": reference, "from": "responses"}


UP = outcome(1, "PBRF +1/N")


@pytest.fixture(scope="module")
def up(setting: Setting, scores: dict[str, Result]) -> Result:
    """The changes measured when examples gain weight."""
    return done(comparisons.responses(lambda c, e: setting, UP, scores))


def figure(result: Result, **where: Any) -> dict[str, Any]:
    where.setdefault("reference", result.values["figures"][0]["reference"])
    (found,) = (f for f in result.values["figures"] if where.items() <= f.items())
    return found


def test_scores_are_the_public_influences_of_every_curvature(
    setting: Setting, scores: dict[str, Result]
) -> None:
    problem, data = setting.problem, (setting.query_inputs, setting.query_targets)
    hessian = ri.Dense(problem, [ri.exact.hessian(problem)], positive=False)
    built = {TOP: hessian, TRUTH: ri.exact.GaussNewton(problem)}
    for group in CONFIG["groups"]:
        fits = FITS[group](problem, Known())
        built |= {fit.name: fit.curvature for fit in fits}
    found = comparisons.scores_of(scores, CONFIG, 1.0)
    left_out = {APART, WIDER, "LiSSA"}
    assert list(found) == [r.name for r in RUNGS if r.name not in left_out]
    for name, curvature in built.items():
        expected = ri.influence(problem, *data, curvature=curvature, damping=1.0)
        # Blocks come from the matrix here and from a sweep there: equal to rounding.
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13)
    solves = [s for part in scores.values() for s in part.values["solves"]]
    assert {s["curvature"] for s in solves} == set(built)
    assert all(s["missed"] == 0 for s in solves)


def test_drawn_labels_are_compared_with_the_ekfac_that_was_saved(
    setting: Setting, scores: dict[str, Result]
) -> None:
    def steps(*names: str, **changed: np.ndarray) -> Any:
        earlier = {name: scores[name] for name in names}
        if changed:
            saved = scores["fits/Kronecker"].arrays
            earlier["fits/Kronecker"] = Result({}, saved | changed)
        config = CONFIG | {"group": "labels"}
        return done(comparisons.fit(lambda c, e: setting, config, earlier)).values["steps"]

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
    sign: int, reference: str, setting: Setting, scores: dict[str, Result]
) -> None:
    config = outcome(sign, reference)
    solved = done(comparisons.responses(lambda c, e: setting, config, scores))
    assert all(solved.values["responses"][0]["converged"])
    assert solved.arrays["change"].shape == (6, 12)
    found = done(comparisons.outcomes(config, scores | {"responses": solved}))
    # At so large a damping the prediction is nearly linear in epsilon; a wrong sign or factor of N
    # would give a correlation of -1 or an error above 0.9.
    assert figure(found, curvature=TRUTH, statistic="pearson")["value"] > 0.99
    assert figure(found, curvature=TRUTH, statistic="change_error")["value"] < 0.1
    assert figure(found, curvature=TRUTH, statistic="pearson")["reference"] == reference
    assert found.values["scatter"][0]["pairs"] == 6 * 12


def test_retrainings_that_did_not_converge_count_nowhere(
    scores: dict[str, Result], up: Result
) -> None:
    kept = np.arange(12) != 4
    values = {"responses": [up.values["responses"][0] | {"converged": kept.tolist()}]}
    change = np.where(kept, up.arrays["change"], 1e9)
    spoilt = Result(values, up.arrays | {"change": change})
    found = done(comparisons.outcomes(UP, scores | {"responses": spoilt}))
    rows = comparisons.chosen(CONFIG).numpy()[kept]
    truth = comparisons.scores_of(scores, CONFIG, 1.0)[TRUTH][:, rows]
    expected = np.mean(
        [stats.pearsonr(a, b).statistic for a, b in zip(truth, change[:, kept], strict=True)]
    )
    got = figure(found, curvature=TRUTH, statistic="pearson")
    assert got["value"] == pytest.approx(expected, abs=1e-12)
    assert found.values["scatter"][0]["pairs"] == 6 * 11


def test_only_the_headline_damping_has_a_scatter_plot(
    scores: dict[str, Result], up: Result
) -> None:
    elsewhere = UP | {"headline": 0.1}
    found = comparisons.outcomes(elsewhere, scores | {"responses": up})
    assert "scatter" not in found


def test_a_curvature_whose_solves_miss_their_tolerance_is_reported_and_left_out(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(*args: Any) -> Any:
        for fit in curvatures._kronecker(*args):
            if fit.name == "K-FAC":
                fit.curvature._solve = lambda vectors, damping: 1.001 * vectors  # type: ignore
            yield fit

    monkeypatch.setitem(FITS, "Kronecker", careless)
    found = fitted(setting)
    part = found["fits/Kronecker"]
    assert [s["missed"] for s in part.values["solves"] if s["curvature"] == "K-FAC"] == [6, 6]
    assert "K-FAC" not in comparisons.scores_of(found, CONFIG, 1.0)
    assert "EK-FAC" in comparisons.scores_of(found, CONFIG, 1.0)
    agreed = done(comparisons.influences(AT_ONE, found)).values
    for figure in (*part.values["figures"], *agreed["figures"]):
        assert figure["curvature"] != "K-FAC" or figure["statistic"].startswith("operator")
    missed = [r for r in part.values["steps"] if "K-FAC" in (r["upper"], r["lower"])]
    assert {r["statistic"] for r in missed} == {"operator_frobenius", "operator_spectral"}
    assert not any("K-FAC" in (c["first"], c["second"]) for c in agreed["contrasts"])


def test_pictures_show_the_most_helpful_and_the_most_harmful(
    setting: Setting, scores: dict[str, Result]
) -> None:
    found = plain(images.pictures(setting, lambda x: [[0.5]], CONFIG, scores))
    change = (1 / 40) * comparisons.scores_of(scores, CONFIG, 1.0)[TRUTH]
    strength = np.abs(change).max(axis=1)
    gallery = found["gallery"]
    assert gallery["notable"] == (strength >= 1e-4).sum()
    shown = [q["index"] for q in gallery["queries"]]
    assert shown == sorted(shown, key=lambda q: -strength[q])
    losses = setting.problem.losses().numpy()
    for query in gallery["queries"]:
        row = change[query["index"]]
        for side, extreme in (("helpful", np.sort(row)[:5]), ("harmful", -np.sort(-row)[:5])):
            np.testing.assert_array_equal([e["change"] for e in query[side]], extreme)
            for e in query[side]:
                assert row[e["index"]] == e["change"]
                assert losses[e["index"]] == e["loss"]
                assert str(int(setting.problem.targets[e["index"]])) == e["label"]


def test_queries_without_notable_influence_are_counted_and_left_out(
    setting: Setting, scores: dict[str, Result]
) -> None:
    strength = np.abs(comparisons.scores_of(scores, CONFIG, 1.0)[TRUTH]).max(axis=1) / 40
    config = CONFIG | {"notable": float(np.sort(strength)[2])}  # four of six reach it
    found = images.pictures(setting, lambda x: [[0.5]], config, scores)
    assert found["gallery"]["notable"] == 4
    assert found["top_examples"][0]["queries"] == 4
    config = CONFIG | {"notable": 1e9}
    found = images.pictures(setting, lambda x: [[0.5]], config, scores)
    assert found["gallery"]["queries"] == []
    assert found["top_examples"] == []


def test_what_the_top_examples_are_like() -> None:
    order = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]])
    labels, losses = np.array([7, 7, 1, 2]), np.array([0.1, 0.2, 0.3, 0.4])
    found = images._top(order, np.array([7, 1]), labels, losses, {"top": 2})
    # first query: examples 0 and 1, both of its label; second: 3 and 2, one of its label
    assert found["same_label"][0] == 0.75
    assert found["chance_label"] == (0.5 + 0.25) / 2
    # mid-rank percentiles of four losses: 12.5, 37.5, 62.5, 87.5
    assert found["loss_percentile"][0] == 50.0
    assert found["mean_loss"] == pytest.approx(0.25)
    assert sum(found["deciles"]) == 1.0
    assert found["deciles"][1] == 0.25


def test_parts_are_named_apart_and_need_what_is_listed_before(setting: Setting) -> None:
    parts = comparisons.parts(partial(lambda c, e: setting), CONFIG)
    names = ["train", *(p.name for p in parts)]
    # the truth, six groups, two dampings, and three kinds of retraining with their outcomes
    assert len(set(names)) == len(names) == 1 + 1 + 6 + 2 + 2 * 3
    for part in parts:
        assert all(names.index(need) < names.index(part.name) for need in part.needs)


def test_the_full_hessian_can_be_left_out_and_changes_nothing_else(
    setting: Setting, scores: dict[str, Result]
) -> None:
    without = done(comparisons.exact(lambda c, e: setting, CONFIG | {"full_hessian": False}, {}))
    both = scores["exact"].arrays
    assert set(both) - set(without.arrays) == {
        f"{kind}/{TOP}" for kind in ("scores", "products", "matrix")
    }
    for name, array in without.arrays.items():
        np.testing.assert_array_equal(array, both[name])
