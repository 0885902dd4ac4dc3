"""The running error analysis: never exceeded, and close to what rounding can do."""

import numpy as np
import pytest
from flint import arb, arb_mat

from validation.proved.arb_mlp import activation_balls, softmax_balls
from validation.proved.balls import distance, exact_balls, working_precision
from validation.proved.elementary import activation, softmax
from validation.proved.rounding import Rounded, U, gamma, without_error

SEEDS = range(5)


def test_one_rounding_is_bounded_by_u_and_comes_near_it():
    random = np.random.RandomState(0)
    x, y = without_error(random.randn(400)), without_error(random.randn(400))
    for operation in ("__add__", "__mul__", "__truediv__", "__sub__"):
        result = getattr(x, operation)(y)
        with working_precision():
            true = [
                getattr(arb(a), operation)(arb(b))
                for a, b in zip(x.value.tolist(), y.value.tolist(), strict=True)
            ]
            errors = np.array(
                [
                    float(abs(arb(v) - t).upper())
                    for v, t in zip(result.value.tolist(), true, strict=True)
                ]
            )
        ratios = errors / result.error
        assert ratios.max() < 1
        assert ratios.max() > 0.9, operation


@pytest.mark.parametrize("seed", SEEDS)
def test_a_matrix_product_stays_within_its_bound(seed):
    random = np.random.RandomState(seed)
    x, y = random.randn(6, 20), random.randn(20, 7)
    result = without_error(x) @ without_error(y)
    with working_precision():
        errors = distance(x @ y, exact_balls(x) * exact_balls(y))
    assert (errors <= result.error).all()
    assert (errors / result.error).max() > 1 / 20 / 5  # one rounding of twenty, and some luck


@pytest.mark.parametrize("seed", SEEDS)
def test_errors_of_the_operands_pass_on_in_full(seed):
    # The worst signs of given errors reach the bound: nothing is lost, nothing is added.
    random = np.random.RandomState(seed)
    x, y = random.randn(4, 9), random.randn(9, 3)
    dx, dy = 1e-6 * random.rand(4, 9), 1e-6 * random.rand(9, 3)
    bound = (Rounded(x, dx) @ Rounded(y, dy)).error
    for i in range(4):
        for j in range(3):
            moved_x = x[i] + dx[i] * np.sign(y[:, j])
            moved_y = y[:, j] + dy[:, j] * np.sign(x[i])
            moved = moved_x @ moved_y - x[i] @ y[:, j]
            assert moved == pytest.approx(bound[i, j], rel=1e-5)


def test_the_square_of_a_noisy_zero_keeps_its_second_order_error():
    zero = Rounded(np.zeros(1), np.full(1, 1e-17))
    assert (zero * zero).error[0] >= 1e-34


def test_gamma_counts_the_terms():
    assert gamma(1) == pytest.approx(U)
    assert gamma(100) == pytest.approx(100 * U, rel=1e-12)
    with working_precision():
        ones = np.full((1, 1000), 0.1)
        error = distance(
            np.cumsum(ones, axis=1)[:, -1:], exact_balls(ones) * exact_balls(np.ones((1000, 1)))
        )
    assert error[0, 0] <= (without_error(ones) @ without_error(np.ones((1000, 1)))).error[0, 0]


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_activations_and_their_derivatives_stay_within_their_bounds(name):
    s = np.concatenate([np.linspace(-15, 15, 301), [0.0, 1e-9]])
    shift = 1e-9
    with working_precision():
        for noise in (0.0, shift, -shift):  # an argument that is wrong by its bound
            results = activation(name, Rounded(s, np.full_like(s, abs(noise))))
            given = activation(name, without_error(s + noise))
            for result, value, true in zip(results, given, _true(name, s), strict=True):
                errors = distance(value.value[None], true)[0]
                # second order in the shift: its square times a derivative below 1, doubled
                assert (errors <= result.error + 2 * noise**2).all()


def _true(name, s):
    rows = [activation_balls(name, arb(x)) for x in s.tolist()]
    return [arb_mat([[row[i] for row in rows]]) for i in range(3)]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_softmax_stays_within_its_bound_relative_to_every_probability(scale):
    f = scale * np.random.RandomState(1).randn(50, 4)
    p = softmax(without_error(f))
    shifted = np.exp(f - f.max(axis=1, keepdims=True))
    direct = shifted / shifted.sum(axis=1, keepdims=True)
    log = f - f.max(axis=1, keepdims=True)
    log = log - np.log(np.exp(log).sum(axis=1, keepdims=True))
    with working_precision():
        for row, bound, *computed in zip(f, p.error, direct, np.exp(log), strict=True):
            true = softmax_balls(exact_balls(row[:, None]))
            for values in computed:
                for value, t, limit in zip(values.tolist(), true, bound, strict=True):
                    assert abs(arb(value) - t) <= arb(float(limit))
    assert (p.error <= 2e-15 * (1 + scale * 20) * p.value).all()
