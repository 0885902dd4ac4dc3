"""Queries that do not fit are refused in the words of `Problem.examples`, with a pass or without."""

import pytest
import torch
from torch import Tensor, nn

import refimpl as ri
from refimpl.problem.data import Data


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(x)))


X, Y = torch.arange(12).reshape(4, 3) % 5, torch.arange(12).reshape(4, 3) % 4
WIDE_X, WIDE_Y = torch.ones(4, 2), torch.arange(4) % 3


def of_tokens() -> ri.Problem:
    return ri.Problem(Embedded(), ri.losses.CrossEntropy(), X, Y)


def of_rows() -> ri.Problem:
    return ri.Problem(nn.Linear(2, 3), ri.losses.CrossEntropy(), WIDE_X, WIDE_Y)


BAD: dict[str, tuple[ri.Problem, Data, Tensor]] = {
    "a token out of range": (of_tokens(), X + 3, Y),
    "a token out of range in a sequence of another length": (of_tokens(), X[:, :2] + 5, Y[:, :2]),
    "a label out of range": (of_tokens(), X, Y + 4),
    "labels of another length": (of_tokens(), X, Y[:, :2]),
    "labels of another kind": (of_tokens(), X, Y.double()),
    "tokens that are no integers": (of_tokens(), X.double(), Y),
    "inputs too wide": (of_rows(), torch.ones(2, 3), WIDE_Y[:2]),
    "inputs by name": (of_rows(), {"other": WIDE_X}, WIDE_Y),
    "no query": (of_rows(), WIDE_X[:0], WIDE_Y[:0]),
    "infinite inputs": (of_rows(), WIDE_X / 0, WIDE_Y),
    "fewer labels than inputs": (of_rows(), WIDE_X, WIDE_Y[:2]),
}


@pytest.mark.parametrize("name", BAD)
def test_queries_that_do_not_fit_are_refused_as_examples_are(name):
    problem, x, y = BAD[name]
    with pytest.raises((ValueError, TypeError)) as expected:
        problem.examples(x, y)
    curvature = ri.fast.EKFAC(problem)
    for _ in range(2):  # also once the shape is known
        for score in (ri.influence, ri.token_influence):
            with pytest.raises(expected.type) as raised:
                score(problem, x, y, curvature=curvature, damping=0.1)
            assert str(raised.value) == str(expected.value)


def test_a_model_that_fails_on_a_later_query_says_what_torch_says():
    x = X.clone()
    x[2, 1] = 7
    with pytest.raises(IndexError, match="index out of range"):
        ri.influence(of_tokens(), x, Y, curvature=ri.fast.EKFAC(of_tokens()), damping=0.1)
