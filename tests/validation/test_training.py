"""Training: to a stationary point of the stated objective, the same every time."""

import pytest
import torch

import refimpl as ri
from validation.data import digits
from validation.models import mlp
from validation.training import Trained, train


def trained(iterations: int = 400) -> tuple[torch.nn.Sequential, Trained]:
    split = digits(60, 0, 0)
    model = mlp([64, 4, 10], torch.Generator().manual_seed(0))
    end = train(
        model,
        ri.losses.CrossEntropy(),
        split.inputs,
        split.targets,
        weight_decay=1e-2,
        iterations=iterations,
        tolerance=1e-6,
    )
    return model, end


def test_it_ends_where_the_gradient_of_the_objective_vanishes() -> None:
    split = digits(60, 0, 0)
    model, end = trained()
    parameters = list(model.parameters())
    value = torch.nn.functional.cross_entropy(model(split.inputs), split.targets)
    value = value + 0.5e-2 * sum((p**2).sum() for p in parameters)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])
    assert value.item() == pytest.approx(end.objective, rel=1e-13)  # the same sums, another order
    assert float(gradient.abs().max()) <= 1e-6
    assert end.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-6)
    assert end.initial_gradient_norm > 0.1


def test_it_is_deterministic_and_leaves_no_gradients() -> None:
    (one, _), (other, _) = trained(30), trained(30)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.grad is None


def test_iterations_are_limited_and_the_end_says_how_far_it_is() -> None:
    _, early = trained(3)
    _, late = trained()
    assert early.evaluations <= 6
    assert early.gradient_norm > 100 * late.gradient_norm
