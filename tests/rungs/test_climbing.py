"""The ladder of any problem: its page, its refusals, and the same numbers as the studies'."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import refimpl as ri
from refimpl import report
from refimpl.rungs.curvatures import TOP, TRUTH
from refimpl.rungs.outcomes import SIGNS

Arguments = tuple[ri.Problem, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def arguments() -> Arguments:
    generator = torch.Generator().manual_seed(2)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)
    ).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(24, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (24,), generator=generator)
    return ri.Problem(model, ri.losses.CrossEntropy(), x[:20], y[:20]), x[20:], y[20:]


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def results(arguments: Arguments, told: list[str]) -> Any:
    return ri.ladder(*arguments, dampings=[1.0, 0.1], retrain=5, top_k=3, progress=told.append)


def test_the_ladder_is_plain_data_and_makes_a_page(results: Any, tmp_path: Path) -> None:
    page = report.write(results, tmp_path).read_text()
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert "What each step down the ladder costs" in page
    assert "Agreement with the full Hessian" in page
    assert "20 tracked parameters in 2 layers" in page


def test_every_rung_is_compared_at_every_damping_with_every_reference(results: Any) -> None:
    names = [c["name"] for c in results["curvatures"]]
    assert {TOP, TRUTH, "EK-FAC", "EK-FAC, 1 sample", "empirical Fisher"} <= set(names)
    keys = ("curvature", "reference", "damping", "statistic")
    there = [tuple(f[k] for k in keys) for f in results["agreement"]]
    assert len(set(there)) == len(there)
    for reference in (TRUTH, TOP, *SIGNS):
        for damping in (1.0, 0.1):
            for name in names:
                assert (name == reference) != ((name, reference, damping, "pearson") in there)
    assert len(results["responses"]) == 4
    assert {r["seed"] for kind in ("agreement", "steps", "solves") for r in results[kind]} == {0}


def test_progress_is_told_step_by_step(results: Any, told: list[str]) -> None:
    assert told[0] == "exact GNH of 20 parameters"
    assert "retraining 5 examples, PBRF −1/N, λ = 0.1" in told
    assert told[-1] == "done"


def test_it_is_the_same_twice(arguments: Arguments, results: Any) -> None:
    again = ri.ladder(*arguments, dampings=[1.0, 0.1], retrain=5, top_k=3)
    assert again["agreement"] == results["agreement"]
    assert again["steps"] == results["steps"]


def test_without_retraining_there_are_no_outcomes(arguments: Arguments) -> None:
    found = ri.ladder(*arguments, dampings=[0.1], retrain=0)
    assert [r["name"] for r in found["references"]] == [TRUTH, TOP]
    assert found["responses"] == []
    assert "retrained to" not in report.page(found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dampings": []}, "different dampings > 0, got \\[\\]"),
        ({"dampings": [0.1, 0.0]}, "different dampings > 0"),
        ({"dampings": [0.1, 0.1]}, "different dampings > 0"),
        ({"dampings": [0.1], "headline": 1.0}, "headline 1 is none of the dampings"),
    ],
)
def test_dampings_that_make_no_ladder_are_refused(
    arguments: Arguments, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ri.ladder(*arguments, **options)


def test_one_query_is_refused(arguments: Arguments) -> None:
    problem, x, y = arguments
    with pytest.raises(ValueError, match="20 examples and 1 queries"):
        ri.ladder(problem, x[:1], y[:1], dampings=[0.1])


class Shrunk(ri.Curvature):
    """Half the exact matrix, by a class of the user's own."""

    def __init__(self, problem: ri.Problem) -> None:
        super().__init__(problem)
        self.matrix = ri.exact.gauss_newton_matrix(problem) / 2

    def apply(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors @ self.matrix

    def solve(self, vectors: torch.Tensor, damping: float) -> ri.Solution:
        damped = self.matrix + damping * torch.eye(len(self.matrix), dtype=self.matrix.dtype)
        return self.certified(vectors, torch.linalg.solve(damped, vectors.T).T, damping)


def test_a_users_curvature_is_a_rung_as_it_is(arguments: Arguments, tmp_path: Path) -> None:
    problem, x, y = arguments
    found = ri.ladder(
        *arguments, dampings=[0.1], retrain=3, curvatures={"half of it": Shrunk(problem)}
    )
    assert found["curvatures"][-1]["name"] == "half of it"
    told = {
        (f["reference"], f["statistic"]): f["value"]
        for f in found["agreement"]
        if f["curvature"] == "half of it"
    }
    assert {reference for reference, _ in told} == {TRUTH, TOP, *SIGNS}
    # ||G/2 - G|| / ||G||, to the roundings of a norm.
    assert told[TRUTH, "operator_frobenius"] == pytest.approx(0.5, rel=1e-12)
    # Twice the damping of the whole matrix, and twice its scores.
    doubled = ri.influence(problem, x, y, curvature=ri.exact.GaussNewton(problem), damping=0.2)
    exact = ri.influence(problem, x, y, curvature=ri.exact.GaussNewton(problem), damping=0.1)
    pearson = ri.agreement.pearson(doubled.numpy(), exact.numpy()).value
    assert told[TRUTH, "pearson"] == pytest.approx(pearson, abs=1e-10)
    assert "half of it" in report.write(found, tmp_path).read_text()


def test_a_curvature_that_is_named_as_a_rung_is_refused(arguments: Arguments) -> None:
    with pytest.raises(ValueError, match="rungs of the ladder have these names already: K-FAC"):
        ri.ladder(*arguments, curvatures={"K-FAC": ri.fast.KFAC(arguments[0])})
