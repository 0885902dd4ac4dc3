"""(c) on tiny sizes, the peers replaced by ours in their conventions: what differs shows."""

from contextlib import contextmanager

import pytest
import torch

from refimpl import fast, influence
from validation.bench import ekfac, libraries

CONFIG = {**ekfac.CONFIG, **ekfac.QUICK, "dtype": "float64"}


class Inverse:
    """Our solve, on columns in curvlinops' order."""

    def __init__(self, curvature, damping, order, factor):
        self.curvature, self.damping, self.order, self.factor = curvature, damping, order, factor

    def __matmul__(self, columns):
        x = self.curvature.solve_uncertified(columns.T[:, self.order].contiguous(), self.damping)
        back = torch.argsort(self.order)
        return self.factor * x[:, back].T


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_solves_are_compared_in_one_order(monkeypatch, factor):
    def fitted(bench, fisher):
        assert fisher == "type-2"
        return fast.EKFAC(bench.problem), libraries.curvlinops_order(bench)

    monkeypatch.setattr(libraries, "curvlinops_ekfac", fitted)
    monkeypatch.setattr(
        libraries,
        "curvlinops_inverse",
        lambda pair, damping: Inverse(*pair[:1], damping, pair[1], factor),
    )
    values = ekfac.exact_fisher(CONFIG, {})
    assert values["difference"] == pytest.approx(factor - 1, abs=1e-14)
    assert set(values["solve"]) == {"refimpl", "refimpl, no certificate", "curvlinops"}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scores_are_compared_with_the_sign_turned(monkeypatch, sign):
    class Library:
        def __init__(self, bench, size, empirical):
            self.batch_size = size
            self.split, self.problem = bench.split, bench.problem
            self.fisher = "empirical" if empirical else "sampled"

        def fit(self):
            self.curvature = fast.EKFAC(self.problem, fisher=self.fisher)

        def scores(self, damping):
            x, y = self.split.query_inputs, self.split.query_targets
            ours = influence(self.problem, x, y, curvature=self.curvature, damping=damping)
            return -sign * ours

    @contextmanager
    def library(bench, sizes, *, empirical):
        yield [Library(bench, size, empirical) for size in sizes]

    monkeypatch.setattr(libraries, "kronfluence_fits", library)
    values = ekfac.scores(CONFIG, {})
    assert values["difference"] == pytest.approx(1 - sign, abs=1e-14)
    names = {"refimpl", "kronfluence, batch 16", "kronfluence, batch 40"}
    assert set(values["seconds"]) == names
    assert set(ekfac.sampled_fisher(CONFIG, {})["fit"]) == names


def test_queries_in_low_rank_lose_nothing_at_full_rank():
    values = ekfac.batched(CONFIG, {})
    assert set(values["seconds"]) == {"refimpl", "1", "8"}  # the blocks have 8 and 10 rows
    assert values["error"]["1"] > 1e-6
    # Block 2 is 10 x 9: its last singular value is left out at rank 8.
    whole = ekfac.batched({**CONFIG, "ranks": [9]}, {})
    assert whole["error"]["9"] < 1e-13


def test_every_part_comes_in_both_precisions():
    names = [part.name for part in ekfac.parts(CONFIG)]
    assert len(names) == 10
    assert {n.split("/")[1] for n in names} == {"float32", "float64"}
    values = ekfac.memory({**CONFIG, "dtype": "float32"}, {})
    # 4 bytes: 4 x 40 scores; 4 vectors and Lambda of P = 226; factors and eigenvectors of both blocks
    factors = 2 * (17**2 + 8**2) + 2 * (9**2 + 10**2)
    assert values["output"] == 4 * (4 * 40 + 5 * 226 + factors)
