"""Pictures: the most helpful and the most harmful, of the queries that are notably influenced."""

from typing import Any

import numpy as np
import pytest

from refimpl.rungs.curvatures import TRUTH
from refimpl.rungs.saved import scores_of
from refimpl.rungs.setting import Setting
from validation.experiments import pictures
from validation.experiments.ladder import plan_of
from validation.parts.saved import Result, plain


def test_pictures_show_the_most_helpful_and_the_most_harmful(
    setting: Setting, scores: dict[str, Result], config: dict[str, Any]
) -> None:
    found = plain(pictures.gallery_of(setting, lambda x: [[0.5]], config, scores))
    change = (1 / 40) * scores_of(plan_of(config), scores, 1.0)[TRUTH]
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
    setting: Setting, scores: dict[str, Result], config: dict[str, Any]
) -> None:
    strength = np.abs(scores_of(plan_of(config), scores, 1.0)[TRUTH]).max(axis=1) / 40
    some = config | {"notable": float(np.sort(strength)[2])}  # four of six reach it
    found = pictures.gallery_of(setting, lambda x: [[0.5]], some, scores)
    assert found["gallery"]["notable"] == 4
    assert found["top_examples"][0]["queries"] == 4
    none = config | {"notable": 1e9}
    found = pictures.gallery_of(setting, lambda x: [[0.5]], none, scores)
    assert found["gallery"]["queries"] == []
    assert found["top_examples"] == []


def test_what_the_top_examples_are_like() -> None:
    order = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]])
    labels, losses = np.array([7, 7, 1, 2]), np.array([0.1, 0.2, 0.3, 0.4])
    found = pictures._top(order, np.array([7, 1]), labels, losses, {"top": 2})
    # first query: examples 0 and 1, both of its label; second: 3 and 2, one of its label
    assert found["same_label"][0] == 0.75
    assert found["chance_label"] == (0.5 + 0.25) / 2
    # mid-rank percentiles of four losses: 12.5, 37.5, 62.5, 87.5
    assert found["loss_percentile"][0] == 50.0
    assert found["mean_loss"] == pytest.approx(0.25)
    assert sum(found["deciles"]) == 1.0
    assert found["deciles"][1] == 0.25
