"""Values and gradients at many places: against torch.func, row by row, whatever the chunk."""

import pytest
import torch
from hypothesis import given, strategies as st
from torch.func import grad_and_value, vmap

from refimpl.problem.gradients import values_and_gradients

U = torch.finfo(torch.float64).eps / 2


def f(theta, x, scale):
    return (scale["by"] * (theta[:3] @ x).tanh() + theta[3:].square().sum()).sum()


def drawn(count, seed):
    g = torch.Generator().manual_seed(seed)
    theta, x, by = (torch.randn(count, n, generator=g).double() for n in (5, 3, 1))
    return theta, x, {"by": by[:, 0]}


@given(st.integers(1, 7), st.integers(1, 8), st.integers(0, 99), st.booleans())
def test_rows_are_those_of_func_grad(count, chunk, seed, recorded):
    theta, x, scale = drawn(count, seed)
    with torch.set_grad_enabled(recorded):
        values, gradients = values_and_gradients(f, theta, x, scale, chunk=chunk)
    expected_gradients, expected_values = vmap(grad_and_value(f))(theta, x, scale)
    # The same operations on the same numbers, in batches of other sizes: 3 + 2 terms are summed.
    size = 1 + theta.abs().sum() * (1 + x.abs().sum()) * (1 + scale["by"].abs().max())
    assert float((values - expected_values).abs().max()) <= 8 * U * float(size) ** 2
    assert float((gradients - expected_gradients).abs().max()) <= 8 * U * float(size)
    assert not values.requires_grad
    assert not gradients.requires_grad


def test_what_does_not_depend_on_theta_has_no_slope():
    theta, x, _ = drawn(4, 0)
    values, gradients = values_and_gradients(lambda _, x: x.sum(), theta, x, chunk=3)
    torch.testing.assert_close(values, x.sum(dim=1))
    assert torch.equal(gradients, torch.zeros_like(theta))
    _, slopes = values_and_gradients(lambda _, x: x.sum(), theta[:, 0], x, chunk=4)
    assert torch.equal(slopes, torch.zeros(4).double())


def test_rows_of_one_expanded_vector_are_told_apart():
    theta, x, scale = drawn(4, 1)
    same = theta[:1].expand(4, -1)
    _, gradients = values_and_gradients(f, same, x, scale, chunk=4)
    for n in range(4):
        one = {"by": scale["by"][n : n + 1]}
        _, alone = values_and_gradients(f, theta[:1], x[n : n + 1], one, chunk=1)
        assert gradients[n].tolist() == pytest.approx(alone[0].tolist(), rel=1e-14)
    assert same.shape == (4, 5)
    assert not same.requires_grad


def test_inference_mode_changes_nothing():
    theta, x, scale = drawn(4, 2)
    expected = values_and_gradients(f, theta, x, scale, chunk=3)
    with torch.inference_mode():
        inference = [
            t * 1.0 for t in (theta, x, scale["by"])
        ]  # inference tensors, which no graph may hold
        rows = values_and_gradients(f, *inference[:2], {"by": inference[2]}, chunk=3)
    for a, b in zip(rows, expected, strict=True):
        assert torch.equal(a, b)
