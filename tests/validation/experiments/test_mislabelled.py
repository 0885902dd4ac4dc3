"""Flipped labels: that they are flipped, and how finding them is measured."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import refimpl as ri
from refimpl.rungs.curvatures import TRUTH
from validation.data import Split
from validation.experiments import mislabelled
from validation.experiments.mislabelled import LOSS, detect, flip, weighted
from validation.training.recipes import Recipe

CONFIG: dict[str, Any] = {
    "seed": 0,
    "weight_decay": 0.01,
    "iterations": 100,
    "newton": 0,
    "dampings": [0.1, 0.01],
    "groups": ["Kronecker", "identity"],
    "mislabelled": {"share": 0.1, "classes": 3},
}


def load(config: Any) -> Split:
    """Three clusters."""
    generator = torch.Generator().manual_seed(config["seed"])
    y = torch.arange(60) % 3
    x = 3 * nn.functional.one_hot(y, 3) + torch.randn(
        60, 3, generator=generator, dtype=torch.float64
    )
    return Split(x[:50], y[:50], x[50:], y[50:])


def linear(config: Any, generator: torch.Generator) -> nn.Module:
    """One layer, from zero."""
    layer = nn.utils.skip_init(nn.Linear, 3, 3, dtype=torch.float64)
    for p in layer.parameters():
        nn.init.zeros_(p)
    return nn.Sequential(layer)


RECIPE = Recipe(load, ri.losses.CrossEntropy(), linear)


@pytest.mark.parametrize("binary", [False, True])
def test_the_share_is_flipped_to_other_labels_and_queries_are_left_alone(binary: bool) -> None:
    split = load(CONFIG)
    if binary:
        y = (split.targets[:, None] > 0).double()
        split = Split(split.inputs, y, split.query_inputs, split.query_targets)
    wrong, flipped = flip(split, 2 if binary else 3, 0.1, 0)
    changed = (wrong.targets != split.targets).reshape(50, -1).any(dim=1).numpy()
    np.testing.assert_array_equal(changed, flipped)
    assert flipped.sum() == 5
    assert wrong.targets.dtype == split.targets.dtype
    assert set(wrong.targets.flatten().tolist()) <= {0, 1, 2}
    assert torch.equal(wrong.query_targets, split.query_targets)
    assert not np.array_equal(flipped, flip(split, 2 if binary else 3, 0.1, 1)[1])


@pytest.mark.parametrize(("classes", "share"), [(1, 0.1), (3, 0.0), (3, 1.0)])
def test_what_cannot_be_flipped_is_refused(classes: int, share: float) -> None:
    with pytest.raises(ValueError, match=r"two classes|some, not all"):
        flip(load(CONFIG), classes, share, 0)


def test_detection_is_scikit_learns_and_its_interval_that_of_resamples() -> None:
    random = np.random.RandomState(0)
    flipped = np.arange(80) % 8 == 0
    scores = {"good": flipped + random.randn(80), "ties": np.round(flipped + random.randn(80))}
    alone, pairs = detect(flipped, scores, [("good", "ties")])
    for name, values in scores.items():
        found = alone[name]
        assert found.auroc.value == pytest.approx(roc_auc_score(flipped, values))
        assert found.average_precision.value == pytest.approx(
            average_precision_score(flipped, values)
        )
        assert found.auroc.interval.low < found.auroc.value < found.auroc.interval.high
        # Independently: Hanley & McNeil's (1982) standard error, within a factor of 1.5.
        a, ones, zeros = found.auroc.value, 10, 70
        q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
        variance = a * (1 - a) + (ones - 1) * (q1 - a**2) + (zeros - 1) * (q2 - a**2)
        width = 2 * 1.96 * (variance / (ones * zeros)) ** 0.5
        assert 1 / 1.5 < (found.auroc.interval.high - found.auroc.interval.low) / width < 1.5
    difference = pairs["good", "ties"].auroc
    assert difference.value == pytest.approx(alone["good"].auroc.value - alone["ties"].auroc.value)
    assert difference.interval.low < difference.value < difference.interval.high


def test_weights_count_examples_as_often_as_they_say() -> None:
    random = np.random.RandomState(1)
    flipped = np.arange(20) % 4 == 0
    scores = np.round(2 * random.randn(20))
    counts = random.randint(0, 3, 20)
    counts[:5] = 1
    auroc, precision = weighted(flipped, scores, counts[None].astype(float))
    repeated = np.repeat(np.arange(20), counts)
    assert auroc[0] == pytest.approx(roc_auc_score(flipped[repeated], scores[repeated]))
    assert precision[0] == pytest.approx(
        average_precision_score(flipped[repeated], scores[repeated])
    )


def test_perfect_detection_has_no_interval_and_one_kind_is_refused() -> None:
    flipped = np.arange(12) < 4
    alone, _ = detect(flipped, {"perfect": flipped.astype(float)})
    assert alone["perfect"].auroc.value == 1
    assert np.isnan(alone["perfect"].auroc.interval.low)
    with pytest.raises(ValueError, match="two examples of each kind"):
        detect(np.zeros(12, dtype=bool), {"none": np.arange(12.0)})
    with pytest.raises(ValueError, match="must be 12 finite numbers"):
        detect(flipped, {"nan": np.full(12, np.nan)})


def test_every_rung_and_the_plain_loss_are_measured_on_the_model_of_the_wrong_labels() -> None:
    values = mislabelled.find_flipped(RECIPE, CONFIG, {})
    assert values["flipped"] == 5
    names = {f["curvature"] for f in values["figures"]}
    assert {TRUTH, "EK-FAC", "K-FAC", "identity", LOSS} <= names
    split, flipped = flip(load(CONFIG), 3, 0.1, 3)
    problem = mislabelled.fitted(RECIPE, CONFIG, split)[0]
    exact = ri.exact.gauss_newton_matrix(problem) + 0.1 * torch.eye(12, dtype=torch.float64)
    g = problem.gradients()
    own = (g * torch.linalg.solve(exact, g.T).T).sum(dim=1)
    where = {"curvature": TRUTH, "damping": 0.1, "statistic": "auroc"}
    (record,) = (f for f in values["figures"] if where.items() <= f.items())
    assert record["value"] == pytest.approx(roc_auc_score(flipped, own))
    (loss,) = (
        f
        for f in values["figures"]
        if {**where, "curvature": LOSS, "statistic": "average_precision"}.items() <= f.items()
    )
    assert loss["value"] == pytest.approx(
        average_precision_score(flipped, problem.losses().detach())
    )
    assert {(c["first"], c["second"]) for c in values["contrasts"]} >= {(TRUTH, LOSS)}


def test_scores_that_no_single_example_tells_apart_have_a_difference_with_an_interval() -> None:
    flipped = np.arange(7) < 3
    one, two = np.array([0.0, 2, 1, 5, 2, 6, 4]), np.array([1.0, 2, 0, 3, 3, 2, 3])
    each = 1 - np.eye(7)
    np.testing.assert_array_equal(weighted(flipped, one, each)[1], weighted(flipped, two, each)[1])
    _, pairs = detect(flipped, {"one": one, "two": two}, [("one", "two")])
    found = pairs["one", "two"].average_precision
    assert found.value == 0
    assert found.interval.low < 0 < found.interval.high
