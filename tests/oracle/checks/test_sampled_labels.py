"""What draws of labels can and cannot show."""

import math

import pytest
import torch

from refimpl import Problem
from refimpl.losses import CrossEntropy, SquaredError
from refimpl.oracle.truth.label_moments import chance_of_one_value, features_of_s


def _problem(logits, loss) -> Problem:
    """A layer without bias whose outputs are the given rows."""
    layer = torch.nn.Linear(len(logits), len(logits[0]), bias=False).double()
    layer.weight.data = torch.tensor(logits, dtype=torch.float64).T
    inputs = torch.eye(len(logits), dtype=torch.float64)
    targets = (
        torch.zeros(len(logits), dtype=torch.int64) if isinstance(loss, CrossEntropy) else inputs
    )
    return Problem(layer, loss, inputs, targets)


def _chance(problem: Problem, u, draws: int) -> float:
    (block,) = problem.layout.blocks
    probes = {block.name: torch.tensor([u], dtype=torch.float64)}
    return chance_of_one_value(problem, features_of_s(problem, probes, "expand")[:1], draws)


def test_all_draws_are_one_label_as_often_as_counted() -> None:
    """p = (0.9, 0.1) twice: u^T z z^T u is 0.01 or 0.81, and 5 draws are alike if no label changes."""
    surely = [math.log(9.0), 0.0]
    problem = _problem([surely, surely], CrossEntropy())
    assert math.isclose(_chance(problem, [1.0, 0.0], 5), 0.9 ** (2 * 4), rel_tol=1e-14)
    assert _chance(problem, [1.0, 0.0], 5) > (0.9**5 + 0.1**5) ** 2  # by all sequences of labels


def test_a_label_that_changes_nothing_does_not_count() -> None:
    """Of two labels as likely, either gives (1/2, -1/2) up to its sign."""
    assert _chance(_problem([[0.0, 0.0]], CrossEntropy()), [1.0, 0.0], 48) == 1.0


@pytest.mark.parametrize(("u", "chance"), [([1.0, 1.0], 0.0), ([0.0, 0.0], 1.0)])
def test_normal_labels_are_never_the_same(u, chance) -> None:
    assert _chance(_problem([[0.0, 0.0], [1.0, 2.0]], SquaredError()), u, 2) == chance
