"""Comparisons: the right sign, the right columns, nothing that did not converge."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import refimpl as ri
from validation import comparisons
from validation.comparisons import CURVATURES, TRUTH, Setting
from validation.saved import Result, plain

CONFIG: dict[str, Any] = {
    "seed": 0, "train": 40, "queries": 6, "examples": 12, "top": 3, "headline": 1.0,
    "notable": 1e-4, "quasi_newton_trials": 400, "dampings": [1.0],
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


def influences(setting: Setting) -> Result:
    return done(comparisons.influences(lambda c, e: setting, AT_ONE, {}))


@pytest.fixture(scope="module")
def scores(setting: Setting) -> Result:
    """Every curvature's scores at a damping of 1."""
    return influences(setting)


def outcome(sign: int, reference: str) -> dict[str, Any]:
    return AT_ONE | {"sign": sign, "reference": reference, "from": ["scores", "responses"]}


UP = outcome(1, "PBRF +1/N")


@pytest.fixture(scope="module")
def up(setting: Setting) -> Result:
    """The changes measured when examples gain weight."""
    return done(comparisons.responses(lambda c, e: setting, UP, {}))


def figure(result: Result, **where: Any) -> dict[str, Any]:
    (found,) = (f for f in result.values["figures"] if where.items() <= f.items())
    return found


def test_scores_are_the_public_influences_of_every_curvature(
    setting: Setting, scores: Result
) -> None:
    found = scores
    rows = comparisons.retrained(CONFIG).numpy()
    problem, x, y = setting.problem, setting.query_inputs, setting.query_targets
    for entry in CURVATURES:
        expected = ri.influence(problem, x, y, curvature=entry.build(problem, 0), damping=1.0)
        np.testing.assert_array_equal(found.arrays[f"scores/{entry.name}"], expected[:, rows])
    assert {s["curvature"] for s in found.values["solves"]} == {e.name for e in CURVATURES}
    assert all(s["missed"] == 0 for s in found.values["solves"])


def test_figures_are_means_over_queries_against_the_truth(setting: Setting, scores: Result) -> None:
    found = scores
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
    error = figure(found, curvature="K-FAC", statistic="ihvp_error")
    assert error["value"] == pytest.approx(float(((a - b).norm(dim=1) / b.norm(dim=1)).mean()))
    assert not any(f["curvature"] == TRUTH for f in found.values["figures"])


def test_contrasts_are_paired_differences(scores: Result) -> None:
    found = scores
    for contrast in found.values["contrasts"]:
        first, second = (
            figure(found, curvature=contrast[end], statistic="pearson")["value"]
            for end in ("first", "second")
        )
        assert contrast["value"] == pytest.approx(first - second, abs=1e-12)


@pytest.mark.parametrize(("sign", "reference"), [(1, "PBRF +1/N"), (-1, "PBRF −1/N")])
def test_the_truth_predicts_what_retraining_does_with_its_sign(
    sign: int, reference: str, setting: Setting, scores: Result
) -> None:
    config = outcome(sign, reference)
    solved = done(comparisons.responses(lambda c, e: setting, config, {}))
    assert all(solved.values["responses"]["converged"])
    assert solved.arrays["change"].shape == (6, 12)
    found = done(comparisons.outcomes(config, {"scores": scores, "responses": solved}))
    # At so large a damping the prediction is nearly linear in epsilon; a wrong sign or factor of N
    # would give a correlation of -1 or an error above 0.9.
    assert figure(found, curvature=TRUTH, statistic="pearson")["value"] > 0.99
    assert figure(found, curvature=TRUTH, statistic="change_error")["value"] < 0.1
    assert figure(found, curvature=TRUTH, statistic="pearson")["reference"] == reference
    assert found.values["scatter"]["pairs"] == 6 * 12


def test_retrainings_that_did_not_converge_count_nowhere(scores: Result, up: Result) -> None:
    kept = np.arange(12) != 4
    values = {"responses": up.values["responses"] | {"converged": kept.tolist()}}
    change = np.where(kept, up.arrays["change"], 1e9)
    spoilt = Result(values, {"change": change})
    found = done(comparisons.outcomes(UP, {"scores": scores, "responses": spoilt}))
    truth = scores.arrays[f"scores/{TRUTH}"][:, kept]
    expected = np.mean(
        [stats.pearsonr(a, b).statistic for a, b in zip(truth, change[:, kept], strict=True)]
    )
    got = figure(found, curvature=TRUTH, statistic="pearson")
    assert got["value"] == pytest.approx(expected, abs=1e-12)
    assert found.values["scatter"]["pairs"] == 6 * 11


def test_only_the_headline_damping_has_a_scatter_plot(scores: Result, up: Result) -> None:
    elsewhere = UP | {"headline": 0.1}
    found = comparisons.outcomes(elsewhere, {"scores": scores, "responses": up})
    assert "scatter" not in found


def test_a_curvature_whose_solves_miss_their_tolerance_is_reported_and_left_out(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(problem: ri.Problem, seed: int) -> ri.Curvature:
        curvature = ri.fast.KFAC(problem)
        curvature._solve = lambda vectors, damping: 1.001 * vectors  # type: ignore[method-assign]
        return curvature

    wrong = [replace(e, build=careless) if e.name == "K-FAC" else e for e in CURVATURES]
    monkeypatch.setattr(comparisons, "CURVATURES", tuple(wrong))
    found = influences(setting)
    (solves,) = (s for s in found.values["solves"] if s["curvature"] == "K-FAC")
    assert solves["missed"] == 6
    assert "scores/K-FAC" not in found.arrays
    assert not any(f["curvature"] == "K-FAC" for f in found.values["figures"])
    assert not any("K-FAC" in (c["first"], c["second"]) for c in found.values["contrasts"])


def test_pictures_show_the_most_helpful_and_the_most_harmful(
    setting: Setting, scores: Result
) -> None:
    found = plain(
        comparisons.pictures(
            setting, lambda x: [[0.5]], CONFIG, {"influences/1": scores}
        )
    )  # fmt: skip
    change = (1 / 40) * scores.arrays[f"all/{TRUTH}"]
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
    setting: Setting, scores: Result
) -> None:
    strength = np.abs(scores.arrays[f"all/{TRUTH}"]).max(axis=1) / 40
    config = CONFIG | {"notable": float(np.sort(strength)[2])}  # four of six reach it
    found = comparisons.pictures(setting, lambda x: [[0.5]], config, {"influences/1": scores})
    assert found["gallery"]["notable"] == 4
    assert found["top_examples"][0]["queries"] == 4
    config = CONFIG | {"notable": 1e9}
    found = comparisons.pictures(setting, lambda x: [[0.5]], config, {"influences/1": scores})
    assert found["gallery"]["queries"] == []
    assert found["top_examples"] == []


def test_what_the_top_examples_are_like() -> None:
    order = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]])
    labels, losses = np.array([7, 7, 1, 2]), np.array([0.1, 0.2, 0.3, 0.4])
    found = comparisons._top(order, np.array([7, 1]), labels, losses, {"top": 2})
    # first query: examples 0 and 1, both of its label; second: 3 and 2, one of its label
    assert found["same_label"][0] == 0.75
    assert found["chance_label"] == (0.5 + 0.25) / 2
    # mid-rank percentiles of four losses: 12.5, 37.5, 62.5, 87.5
    assert found["loss_percentile"][0] == 50.0
    assert found["mean_loss"] == pytest.approx(0.25)
    assert sum(found["deciles"]) == 1.0
    assert found["deciles"][1] == 0.25


def test_parts_are_named_apart_and_need_what_is_listed_before(setting: Setting) -> None:
    parts = comparisons.parts(partial(lambda c, e: setting), CONFIG | {"dampings": [1.0, 1e-3]})
    names = ["train", *(p.name for p in parts)]
    assert len(set(names)) == len(names) == 1 + 2 * 5
    for part in parts:
        assert all(names.index(need) < names.index(part.name) for need in part.needs)
