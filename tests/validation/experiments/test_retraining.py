"""Leaving out and halves, on ridge regression, where every answer is known in closed form."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import refimpl as ri
from refimpl.rungs.curvatures import TRUTH
from refimpl.rungs.saved import scores_of
from validation.data import Split
from validation.experiments import ladder, retraining
from validation.literature.references import HALVES, NEAR, PBRF, SCRATCH, WARM
from validation.parts.saved import Result, plain
from validation.training import recipes
from validation.training.recipes import Recipe

CONFIG: dict[str, Any] = {
    "seed": 0,
    "train": 30,
    "queries": 5,
    "examples": 8,
    "top": 3,
    "headline": 0.5,
    "weight_decay": 0.1,
    "iterations": 200,
    "newton": 0,
    "quasi_newton_trials": 300,
    "dampings": [0.5, 0.1],
    "groups": ["Kronecker"],
    "retrained": {"-": [0.5, 0.1]},
    "scratch": {"examples": 4, "seeds": 2, "trials": 300},
    "halves": {"models": 6, "seeds": 2, "trials": 300},
}


def load(config: Any) -> Split:
    """Random inputs, targets linear in them with noise."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(35, 3, generator=generator, dtype=torch.float64)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    y = y + torch.randn(35, 1, generator=generator, dtype=torch.float64)
    return Split(x[:30], y[:30], x[30:], y[30:])


def linear(config: Any, generator: torch.Generator) -> nn.Module:
    """One layer with bias."""
    layer = nn.utils.skip_init(nn.Linear, 3, 1, dtype=torch.float64)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return nn.Sequential(layer)


RECIPE = Recipe(load, ri.losses.SquaredError(), linear)
MAKE = partial(recipes.trained_setting, RECIPE)


def ridge(weights: Tensor, near: float = 0.0, centre: Tensor | None = None) -> Tensor:
    """Minimiser of (1/N) sum w l + 0.05 |theta|^2 + near/2 |theta - centre|^2."""
    split = load({})
    a = torch.cat([split.inputs, torch.ones(30, 1, dtype=torch.float64)], dim=1)
    eye = torch.eye(4, dtype=torch.float64)
    pull = 0.0 if centre is None else near * centre[:, None]
    left = (a * weights[:, None]).T @ a / 30 + (0.1 + near) * eye
    return torch.linalg.solve(left, (a * weights[:, None]).T @ split.targets / 30 + pull)[:, 0]


def losses(theta: Tensor) -> np.ndarray:
    """Of the queries."""
    split = load({})
    a = torch.cat([split.query_inputs, torch.ones(5, 1, dtype=torch.float64)], dim=1)
    return ((a @ theta - split.query_targets[:, 0]) ** 2 / 2).numpy()


def done(found: Any) -> Result:
    values, arrays = found if isinstance(found, tuple) else (found, {})
    return Result(plain(values), arrays)


@pytest.fixture(scope="module")
def earlier() -> dict[str, Result]:
    """Everything that a study of it would save, by part, in the study's own order."""
    found: dict[str, Result] = {"train": done(recipes.train(RECIPE, CONFIG, {}))}
    for part in [*ladder.parts_of(MAKE, CONFIG), *retraining.parts_of(RECIPE, MAKE, CONFIG)]:
        needed = {name: found[name] for name in part.needs}
        found[part.name] = done(part.work({**CONFIG, **part.options}, needed))
    return found


def test_the_examples_left_out_are_among_those_whose_response_is_known() -> None:
    chosen = retraining.left_out(CONFIG).tolist()
    assert len(set(chosen)) == 4
    assert set(chosen) <= set(ladder.plan_of(CONFIG).retrained_examples().tolist())


@pytest.mark.parametrize("name", ["scratch", "warm", "near/0.5"])
def test_changes_are_those_of_the_closed_form(earlier: dict[str, Result], name: str) -> None:
    part = earlier[f"retrained/{name}"]
    whole = ridge(torch.ones(30, dtype=torch.float64))
    near = 0.4 if name == "near/0.5" else 0.0  # 0.5 less the weight decay
    for k, m in enumerate(retraining.left_out(CONFIG).tolist()):
        weights = torch.ones(30, dtype=torch.float64)
        weights[m] = 0.0
        expected = losses(ridge(weights, near, whole)) - losses(whole)
        # Gradients end below 1e-4 of the first, and the objective is 0.1-strongly convex; the
        # shift by leaving out is of the size of some hundredths.
        np.testing.assert_allclose(
            part.arrays["change"][:, k], expected, atol=2e-3 * abs(expected).max()
        )
        shift = np.zeros(30)
        shift[m] = -1 / 30
        np.testing.assert_array_equal(part.arrays["weights"][k], shift)
    (record,) = part.values["responses"]
    assert all(record["converged"])
    assert record["damping"] == (float(name.split("/")[1]) if "/" in name else None)


def test_a_damping_no_larger_than_the_decay_is_the_warm_start(earlier: dict[str, Result]) -> None:
    assert "retrained/near/0.1" not in earlier
    for damping, same in ((0.1, True), (0.5, False)):
        near = [g for g in earlier[f"gaps/{damping}"].values["gaps"] if g["term"] == "proximity"]
        (error,) = (g["value"] for g in near if g["statistic"] == "change_error")
        assert (error == 0.0) == same
    assert earlier["outcomes/0.1/near"].values["figures"]


def test_halves_are_halves_and_their_models_those_of_the_closed_form(
    earlier: dict[str, Result],
) -> None:
    part = earlier["retrained/halves"]
    whole = ridge(torch.ones(30, dtype=torch.float64))
    weights = 1 + 30 * torch.from_numpy(part.arrays["weights"])
    assert weights.shape == (6, 30)
    assert bool(
        (weights.round().long().sort(dim=1).values == torch.tensor([0] * 15 + [2] * 15)).all()
    )
    assert len({tuple(row.tolist()) for row in weights}) == 6
    for k, w in enumerate(weights):
        expected = losses(ridge(w)) - losses(whole)
        np.testing.assert_allclose(part.arrays["change"][:, k], expected, atol=1e-3)
    assert part.values["ceiling"]["value"] == pytest.approx(1.0)  # convex: every start ends alike


def test_predictions_are_scores_times_the_changes_of_weight(earlier: dict[str, Result]) -> None:
    scores = scores_of(ladder.plan_of(CONFIG), earlier, 0.5)[TRUTH]
    half = earlier["retrained/halves"]
    figures = earlier["outcomes/0.5/halves"].values["figures"]
    assert {f["statistic"] for f in figures} == {"pearson", "spearman", "kendall"}
    assert {f["reference"] for f in figures} == {HALVES}
    (found,) = (f for f in figures if f["curvature"] == TRUTH and f["statistic"] == "pearson")
    foretold = scores @ half.arrays["weights"].T
    expected = np.mean(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(foretold, half.arrays["change"], strict=True)]
    )
    assert found["value"] == pytest.approx(expected)
    left = earlier["outcomes/0.5/scratch"].values["figures"]
    assert {f["reference"] for f in left} == {SCRATCH}
    assert "change_error" in {f["statistic"] for f in left}


def test_the_five_terms_of_a_convex_quadratic_problem(earlier: dict[str, Result]) -> None:
    gaps = earlier["gaps/0.5"].values["gaps"]
    errors = {
        (g["term"], g["upper"], g["lower"]): g["value"]
        for g in gaps
        if g["statistic"] == "change_error"
    }
    # Training is a ridge regression that has converged: where it starts and that it ended does not
    # matter, and the objective is its own quadratic model but for the example left out.
    assert errors["warm start", SCRATCH, WARM] < 5e-3
    assert errors["non-convergence", NEAR, PBRF] < 5e-3
    assert errors["proximity", WARM, NEAR] > 0.1
    assert 1e-3 < errors["linearisation", PBRF, TRUTH] < 0.3
    assert ("solver", TRUTH, "EK-FAC") in errors
    # With the damping of the weight decay there is no proximity to speak of, either.
    near = earlier["gaps/0.1"].values["gaps"]
    (error,) = (
        g["value"] for g in near if (g["term"], g["statistic"]) == ("proximity", "change_error")
    )
    assert error < 5e-3
    (contrast,) = earlier["gaps/0.5"].values["contrasts"]
    assert (contrast["first"], contrast["second"]) == (PBRF, SCRATCH)


def test_what_does_not_converge_is_left_out() -> None:
    config = CONFIG | {"scratch": CONFIG["scratch"] | {"trials": 1}}
    found: dict[str, Result] = {"train": done(recipes.train(RECIPE, CONFIG, {}))}
    for part in [*ladder.parts_of(MAKE, config), *retraining.parts_of(RECIPE, MAKE, config)]:
        needed = {name: found[name] for name in part.needs}
        found[part.name] = done(part.work({**config, **part.options}, needed))
    assert not any(found["retrained/scratch"].values["responses"][0]["converged"])
    assert found["gaps/0.5"].values["gaps"] == []
    assert found["outcomes/0.5/scratch"].values["figures"] == []

    # And a change is that of one start, with and without: here far from where training ended.
    at, ones = MAKE(config, found), torch.ones(1, 30, dtype=torch.float64)
    m = int(retraining.left_out(config)[0])
    one = torch.arange(30) == m
    changes = []
    for run in range(2):
        both = torch.cat([ones, ones.masked_fill(one, 0.0)])
        values = at.values(retraining._anew(RECIPE, at.problem, config, both, 1, run).parameters)
        changes.append(values[1] - values[0])
    expected = torch.stack(changes).mean(dim=0)
    np.testing.assert_allclose(found["retrained/scratch"].arrays["change"][:, 0], expected)
