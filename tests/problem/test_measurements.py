"""Measurements: named ones and functions, their gradients, at one parameter vector or at several."""

import torch
from hypothesis import given, strategies as st
from strategies import problems
from torch import nn

import refimpl as ri

U64 = torch.finfo(torch.float64).eps / 2


def test_measurements_are_functions_of_the_outputs_of_an_example_and_its_target():
    model, x, y = nn.Linear(3, 4), torch.randn(5, 3), torch.tensor([0, 3, 1, 2, 2])
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    f = problem.outputs()
    assert torch.equal(problem.measure(), problem.losses())
    assert torch.equal(problem.measure(measurement=lambda out, label: out[label]), f[range(5), y])
    assert torch.equal(problem.measure(measurement="logit"), f[range(5), y])
    gradients = problem.measurement_gradients(measurement="logit")
    rows = problem.layout.matrices(gradients)[""]  # d f_y / d [W | b] = e_y [x | 1]
    expected = torch.zeros(5, 4, 4).double()
    expected[range(5), y] = torch.cat([x, torch.ones(5, 1)], dim=1).double()
    assert torch.equal(rows, expected)


@given(problems(), st.integers(1, 3))
def test_measurements_at_several_parameters_are_those_at_each(problem, count):
    steps = torch.randn(count, problem.num_parameters, generator=torch.Generator().manual_seed(0))
    theta = problem.parameters + 0.1 * steps
    together = problem.measure(parameters=theta)
    each = torch.stack([problem.losses(parameters=one) for one in theta])
    # a batched product may sum in another order than a single one
    assert (together - each).abs().max() <= 1e3 * U64 * (1 + each.abs().max())
