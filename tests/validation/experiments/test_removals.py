"""Removal: the right examples, the right queries, effects at each query's own answer."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import refimpl as ri
from refimpl.rungs.curvatures import TRUTH
from refimpl.rungs.setting import Setting
from validation.experiments import ladder, removals
from validation.experiments.removals import RANDOM
from validation.parts.saved import Result, plain

CONFIG: dict[str, Any] = {
    "seed": 0,
    "train": 24,
    "queries": 12,
    "top": 3,
    "headline": 0.05,
    "damping": 0.05,
    "quasi_newton_trials": 300,
    "dampings": [0.05],
    "groups": ["identity"],
    "removal": {"queries": 5, "sizes": [1, 6], "trials": 300},
}


def _setting(binary: bool) -> Setting:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(36, 2, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + 0.3 * x[:, 1] > 0).long()
    layer = nn.utils.skip_init(nn.Linear, 2, 1 if binary else 2, dtype=torch.float64)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight.copy_(torch.tensor([[0.5, 0.6]] if binary else [[-0.25, -0.3], [0.25, 0.3]]))
    loss = ri.losses.BinaryCrossEntropy() if binary else ri.losses.CrossEntropy()
    if binary:
        y = y[:, None].double()
    return Setting(ri.Problem(nn.Sequential(layer), loss, x[:24], y[:24]), x[24:], y[24:])


@pytest.mark.parametrize("binary", [False, True])
def test_flips_and_rises_are_those_of_retraining_one_by_one(binary: bool) -> None:
    at = _setting(binary)
    problem = at.problem
    earlier = {"train": Result({}, {})}
    for part in ladder.parts_of(lambda c, e: at, CONFIG):
        if part.name in ("exact", "fits/identity"):
            values, arrays = part.work(CONFIG, {need: earlier[need] for need in part.needs})
            earlier[part.name] = Result(plain(values), arrays)
    found = removals.remove_most_helpful(lambda c, e: at, CONFIG, earlier)
    before = removals.predictions(problem.loss, problem.outputs(at.query_inputs))
    right = (before == at.query_targets).reshape(12, -1).all(dim=1)
    queries = removals._right(at, CONFIG)
    assert len(queries) == 5
    assert bool(right[torch.from_numpy(queries)].all())
    assert not bool(right.all())  # or there was nothing to choose
    scores = ri.influence(
        problem,
        at.query_inputs,
        at.query_targets,
        curvature=ri.exact.GaussNewton(problem),
        damping=0.05,
    )
    for size in (1, 6):
        flips, rises = [], []
        for q in queries.tolist():
            chosen = scores[q].argsort()[:size]
            theta = ri.exact.bregman_response(
                problem, chosen[None], epsilon=-1 / 24, damping=0.05
            ).parameters[0]
            x, y = at.query_inputs[q : q + 1], at.query_targets[q : q + 1]
            after = problem.outputs(x, theta)
            flips.append(bool((removals.predictions(problem.loss, after) != before[q]).any()))
            rises.append(float((problem.loss.value(after, y) - problem.losses(x, y))[0]))
        for statistic, expected in ((f"flips_{size}", flips), (f"rise_{size}", rises)):
            where = {"curvature": TRUTH, "statistic": statistic}
            (record,) = (f for f in found["figures"] if where.items() <= f.items())
            assert record["value"] == pytest.approx(float(np.mean(expected)), rel=1e-3)
            assert record["low"] <= record["value"] <= record["high"]
    assert {f["curvature"] for f in found["figures"]} == {TRUTH, "identity", RANDOM}
    # What the scores name does more harm than what chance does.
    rise = {f["curvature"]: f["value"] for f in found["figures"] if f["statistic"] == "rise_6"}
    assert rise[TRUTH] > rise[RANDOM]
    assert all(all(r["converged"]) for r in found["responses"])
