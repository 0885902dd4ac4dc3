"""How often the model is run: verified and sized once, and never again only to learn a size."""

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

import refimpl as ri
from refimpl import rows

LENGTHS = (4, 6)


class Counting(nn.Module):
    """A perceptron, of one row or of one for each token, that counts its forward calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.last(torch.tanh(self.first(x)))


def made(tokens: tuple[int, ...] = (), n: int = 9) -> ri.Problem:
    torch.manual_seed(0)
    x, y = torch.randn(n, *tokens, 3), torch.randint(3, (n, *tokens))
    return ri.Problem(Counting(), ri.losses.CrossEntropy(), x, y)


def calls(problem: ri.Problem, act) -> int:
    """How often `act` runs the model; a call under vmap is one."""
    before = problem.model.calls
    act(problem)
    return problem.model.calls - before


FITS = {
    "EK-FAC": ri.fast.EKFAC,
    "EK-FAC, sampled": lambda p: ri.fast.EKFAC(p, fisher="sampled"),
    "EK-FAC, empirical": lambda p: ri.fast.EKFAC(p, fisher="empirical"),
    "K-FAC": ri.fast.KFAC,
    "diagonal": ri.fast.Diagonal,
    "block-diagonal": ri.fast.BlockDiagonal,
    "primal": lambda p: ri.exact.GaussNewton(p, "primal"),
    "dual": lambda p: ri.exact.GaussNewton(p, "dual"),
}


@pytest.mark.parametrize("tokens", [(), (5,)])
@pytest.mark.parametrize("name", FITS)
def test_a_fit_verifies_in_two_passes_once_and_passes_over_the_data_once(name, tokens):
    problem = made(tokens)
    assert [calls(problem, FITS[name]) for _ in range(3)] == [3, 1, 1]


@pytest.mark.parametrize("tokens", [(), (5,)])
@pytest.mark.parametrize("curvature", ["EK-FAC", "primal"])
@pytest.mark.parametrize("queries", [1, 8])
def test_an_influence_passes_over_the_queries_and_over_the_candidates(queries, curvature, tokens):
    problem, other = made(tokens), made(tokens, queries)
    fitted = FITS[curvature](problem)
    rest = {"curvature": fitted, "damping": 0.1}
    for _ in range(2):
        assert calls(problem, lambda p: ri.influence(p, other.inputs, other.targets, **rest)) == 2


def test_self_influences_in_the_eigenbasis_pass_over_the_data_once():
    problem = made()
    fitted = ri.fast.EKFAC(problem)
    assert calls(problem, lambda p: ri.self_influence(p, curvature=fitted, damping=0.1)) == 1


def test_the_first_score_of_a_problem_verifies_as_a_fit_does():
    problem = made()
    fitted = ri.fast.Identity(problem)
    x, y = problem.inputs, problem.targets
    assert [
        calls(problem, lambda p: ri.influence(p, x, y, curvature=fitted, damping=1.0))
        for _ in range(2)
    ] == [4, 2]


def test_queries_of_another_length_are_looked_at_once_for_every_length():
    problem = made((5,))
    fitted = ri.fast.EKFAC(problem)
    expected = [3, 3, 2, 2]  # another length, the other, and both again
    for length, passes in zip(LENGTHS * 2, expected, strict=True):
        other = made((length,), 2)
        before = problem.model.calls
        ri.influence(problem, other.inputs, other.targets, curvature=fitted, damping=0.1)
        assert problem.model.calls - before == passes


def test_what_was_refused_once_is_not_looked_at_again():
    class Functional(Counting):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x @ self.first.weight.T[:, :3]

    x, y = torch.randn(5, 3), torch.arange(5) % 3
    problem = ri.Problem(Functional(), ri.losses.CrossEntropy(), x, y)
    for passes in (2, 0):
        before = problem.model.calls
        with pytest.raises(ValueError, match="gradient of layer 'first' is not sum_r"):
            rows.of(problem)
        assert problem.model.calls - before == passes


def test_nothing_keeps_a_problem_alive():
    problem = made((5,))
    ri.influence(
        problem,
        problem.inputs[:, :4],
        problem.targets[:, :4],
        curvature=ri.fast.EKFAC(problem),
        damping=0.1,
    )
    gone = weakref.ref(problem)
    del problem
    gc.collect()
    assert gone() is None
