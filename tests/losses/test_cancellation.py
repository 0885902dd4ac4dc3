"""exp(x) - 1 - x and its derivatives against 60 digits, through every transform that a response uses."""

import mpmath
import pytest
import torch
from torch.func import grad, jvp, vmap

from refimpl.losses.cancellation import excess_exp

U = 2.0**-53
POINTS = [s * x for s in (1, -1) for x in (1e-160, 1e-12, 1e-3, 0.0999999, 0.1, 0.3, 1.0, 30.0)]


def truth(x: float, order: int) -> float:
    with mpmath.workdps(400):
        v = mpmath.mpf(x)
        return float([mpmath.exp(v) - 1 - v, mpmath.expm1(v), mpmath.exp(v)][order])


def roundoff(x: float, order: int) -> float:
    """A few units of roundoff of what is added up.

    The series has terms that shrink tenfold, so that 13 Horner steps cost little more than one; from
    |x| = 0.1 on the value is expm1(x) - x; the second derivative is expm1(x) + 1, and so keeps its
    digits relative to 1, the weight that exp(x) moves.
    """
    if order == 2:
        return 4 * U * max(1.0, truth(x, 2))
    if order == 1:
        return 3 * U * abs(truth(x, 1))
    return 4 * U * (abs(truth(x, 1)) + abs(x) if abs(x) >= 0.1 else truth(x, 0))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_values_and_derivatives_keep_their_digits(order: int) -> None:
    x = torch.tensor(POINTS, dtype=torch.float64)
    function = [excess_exp, grad(excess_exp), grad(grad(excess_exp))][order]
    values = vmap(function)(x)
    for point, value in zip(POINTS, values.tolist(), strict=True):
        assert abs(value - truth(point, order)) <= roundoff(point, order), point


def test_forward_over_reverse_gives_the_second_derivative() -> None:
    x = torch.tensor(POINTS, dtype=torch.float64)
    values = jvp(vmap(grad(excess_exp)), (x,), (torch.full_like(x, 2.0),))[1]
    torch.testing.assert_close(values, 2 * torch.exp(x), rtol=4 * U, atol=8 * U)
    along = jvp(excess_exp, (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(along, torch.expm1(x), rtol=4 * U, atol=0.0)


def test_single_precision_keeps_its_own_digits() -> None:
    x = torch.tensor([1e-3, -0.05, 0.2], dtype=torch.float32)
    wide = excess_exp(x.double())
    # 4 units of single precision of |expm1(x)| + |x|, at most 20 times the value at 0.2
    torch.testing.assert_close(excess_exp(x).double(), wide, rtol=80 * 2.0**-24, atol=0.0)
