"""The Bregman divergence against its definition l(f) - l(f_s) - <grad l(f_s), f - f_s> in 400 digits."""

import mpmath
import pytest
import torch
from evidence import within
from hypothesis import assume, given, strategies as st
from loss_cases import U, cases, roundoff
from torch import Tensor

from refimpl.losses import CrossEntropy, Loss, SquaredError, as_tokens


def defined_divergence(loss: Loss, f: Tensor, s: Tensor, y: Tensor) -> tuple[float, float]:
    """l(f) - l(s) - <grad l(s), f - s> of one example in 400 digits, and what rounding may change.

    Outputs are first written as softmax logits (z, target mass) so that one formula serves. The
    slack: with D = log(1 + S), S = sum_c p_c (e^d_c - 1 - d_c), an error u max|d| in d moves D by
    sum p |e^d - 1| u max|d| / (1 + S), and relative errors u (range + C) of p move it by as much of
    S / (1 + S) <= D.
    """
    total, slack = mpmath.mpf(0), mpmath.mpf(0)
    with mpmath.workdps(400):
        for z, z_s, mass in softmax_tokens(loss, f, s, y):
            z, z_s = [mpmath.mpf(v) for v in z], [mpmath.mpf(v) for v in z_s]
            lse, lse_s = (mpmath.log(sum(mpmath.exp(v) for v in x)) for x in (z, z_s))
            omega = mpmath.fsum(mass)
            p = [mpmath.exp(v - lse_s) for v in z_s]
            slope = [omega * q - m for q, m in zip(p, mass, strict=True)]
            end = mpmath.fsum(m * (lse - v) for m, v in zip(mass, z, strict=True))
            start = mpmath.fsum(m * (lse_s - v) for m, v in zip(mass, z_s, strict=True))
            linear = mpmath.fsum(a * (v - w) for a, v, w in zip(slope, z, z_s, strict=True))
            total += end - start - linear
            d = [v - w for v, w in zip(z, z_s, strict=True)]
            centre = mpmath.fsum(q * v for q, v in zip(p, d, strict=True))
            moved = mpmath.fsum(
                q * abs(mpmath.expm1(v - centre)) for q, v in zip(p, d, strict=True)
            )
            grown = mpmath.fsum(q * mpmath.exp(v - centre) for q, v in zip(p, d, strict=True))
            spread = max(z_s) - min(z_s) + len(z)
            slack += omega * moved / grown * max(abs(v) for v in d)
            slack += spread * omega * mpmath.log(grown)
        return float(total), float(slack)


def softmax_tokens(loss: Loss, f: Tensor, s: Tensor, y: Tensor):
    """(logits, reference logits, target mass) of each token, as Python numbers."""
    if isinstance(loss, CrossEntropy):
        c = f.shape[-1]
        weight = [1.0] * c if loss.weight is None else loss.weight.tolist()
        for a, b, label in zip(as_tokens(f)[0], as_tokens(s)[0], y.reshape(-1), strict=True):
            mass = [loss.label_smoothing / c] * c
            mass[int(label)] += 1 - loss.label_smoothing
            yield a.tolist(), b.tolist(), [m * w for m, w in zip(mass, weight, strict=True)]
        return
    weight = torch.as_tensor(1.0 if loss.pos_weight is None else loss.pos_weight)  # type: ignore
    for a, b, t, w in zip(*(v.reshape(-1) for v in (f, s, y, weight.expand(f.shape))), strict=True):
        yield [0.0, a.item()], [0.0, b.item()], [1 - t.item(), (w * t).item()]


def assert_defined(loss: Loss, f: Tensor, s: Tensor, y: Tensor) -> None:
    truth, slack = defined_divergence(loss, f, s, y)
    divergence = loss.bregman(f, s, y)
    # Some 40 roundings a term: exp(x) - 1 - x is 20 u where its series ends, the rest are sums.
    assert abs(float(divergence) - truth) <= 64 * U * slack + torch.finfo(torch.float64).tiny
    assert float(divergence) >= 0
    assert float(loss.bregman(s, s, y)) == 0
    # Its gradient is omega (p - p_s) = grad l(f) - grad l(s).
    slope = torch.func.grad(lambda v: loss.bregman(v, s, y).sum())(f)
    expected = (loss.gradient(f, y) - loss.gradient(s, y)).reshape(f.shape)
    assert (slope - expected).abs().max() <= roundoff(s) + roundoff(f)


@pytest.mark.parametrize("difference", [1e-9, 1e-3, 0.05, 1.0, 30.0, 1e3])
@given(cases(kinds=("ce", "bce")), st.sampled_from([0.0, 50.0, 700.0]), st.integers(0, 2**31 - 1))
def test_bregman_divergence_is_its_definition_to_rounding(difference, case, saturation, seed):
    loss, s, y = case
    s, y = s[:1], y[:1]
    if isinstance(loss, CrossEntropy):
        assume(bool((y != loss.ignore_index).all()))
    g = torch.Generator().manual_seed(seed)
    s = s - saturation * torch.randint(2, s.shape, generator=g)
    f = s + difference * torch.randn(s.shape, generator=g).double()
    assert_defined(loss, f, s, y)


@pytest.mark.parametrize(
    ("f", "s"),
    [
        ([50.0, 3.0], [50.0, 0.0]),  # 3e-21, all of it from a class of probability 2e-22
        ([0.0, -100.0], [0.0, -600.0]),  # e^-100, of an exp(d) that overflows when squared
        ([0.0, 20.5], [0.0, -400.0]),  # the same where neither term may be dropped
        ([1e-3, -1e-3, -100.0], [0.0, 0.0, -600.0]),  # beside an ordinary small change
        ([700.0, 0.0], [0.0, 0.0]),
        ([1e3, 0.0, 0.0], [-1e3, 0.0, 1.0]),
        ([0.1, 0.0], [0.0, 0.0]),  # where the series ends
    ],
)
def test_bregman_divergence_of_hard_cases(f, s):
    f, s = torch.tensor([f]).double(), torch.tensor([s]).double()
    assert_defined(CrossEntropy(), f, s, torch.tensor([0]))
    hessian = torch.func.hessian(lambda v: CrossEntropy().bregman(v, s, torch.tensor([0])).sum())
    expected = CrossEntropy().hessian(f, torch.tensor([0]))[0, 0]
    assert (hessian(f).reshape(expected.shape) - expected).abs().max() <= roundoff(f) + roundoff(s)


@pytest.mark.parametrize("step", [1e-12, 1e-9, 1e-6])
def test_gradient_of_the_divergence_keeps_its_digits_near_the_reference(step):
    # grad D = (diag p - p p^T) d + O(d^2): the difference of two softmaxes would keep no digit.
    s = torch.tensor([[0.3, -1.0, 2.0]]).double()
    f = s + step * torch.tensor([[1.0, -2.0, 0.5]]).double()
    slope = torch.func.grad(lambda v: CrossEntropy().bregman(v, s, torch.tensor([0])).sum())(f)
    linear = (CrossEntropy().hessian(s, torch.tensor([0]))[0, 0] @ (f - s)[0])[None]
    assert (slope - linear).norm() <= 64 * U * linear.norm() + 8 * step**2


def test_squared_divergence_is_half_the_squared_distance():
    f, s = torch.tensor([[1.0, -2.0], [1e-9, 0.0]]).double(), torch.zeros(2, 2).double()
    assert SquaredError().bregman(f, s, f).tolist() == [2.5, pytest.approx(5e-19, rel=4 * U)]


@given(cases(), st.floats(0.01, 3.0), st.integers(0, 100))
def test_divergences_of_many_examples_are_those_of_each(case, step, seed):
    loss, f, y = case
    s = f + step * torch.randn(f.shape, generator=torch.Generator().manual_seed(seed)).double()
    together = loss.bregman(f, s, y)
    apart = torch.cat(
        [loss.bregman(f[n : n + 1], s[n : n + 1], y[n : n + 1]) for n in range(len(f))]
    )
    # The same operations on other shapes, which may be vectorised otherwise.
    assert together.shape == (len(f),)
    within((together - apart).abs(), roundoff(f) * (together + U) + U * roundoff(s))
