"""Losses against torch's own, their Hessians against differentiation, their label laws exactly."""

import mpmath
import pytest
import torch
from hypothesis import given, strategies as st
from strategies import LOSSES, loss_for, targets_for
from torch.nn import functional as F

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2
SHAPES = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 5)).map(
    lambda s: (s[0], s[2]) if s[1] == 0 else s
)
CASES = st.tuples(st.sampled_from(LOSSES), SHAPES, st.booleans(), st.integers(0, 2**31 - 1))


def build(case):
    name, shape, options, seed = case
    generator = torch.Generator().manual_seed(seed)
    loss = loss_for(name, shape[-1], generator, options=options)
    f = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return loss, f, targets_for(name, shape, generator, ignored=0.3)


@given(CASES)
def test_values_are_torchs_summed_over_tokens(case):
    loss, f, y = build(case)
    if isinstance(loss, ri.losses.CrossEntropy):
        truth = F.cross_entropy(
            f.movedim(-1, 1), y, reduction="none",
            weight=loss.weight, label_smoothing=loss.label_smoothing,
        )  # fmt: skip
    elif isinstance(loss, ri.losses.BinaryCrossEntropy):
        truth = F.binary_cross_entropy_with_logits(
            f, y, reduction="none", pos_weight=loss.pos_weight
        )
    else:
        truth = F.mse_loss(f, y, reduction="none") / 2
    truth = truth.reshape(len(f), -1).sum(dim=1)
    assert torch.allclose(loss.value(f, y), truth, rtol=100 * U, atol=100 * U)


@given(CASES)
def test_hessian_and_gradient_are_those_of_differentiation(case):
    loss, f, y = build(case)
    flat = f.flatten(1)

    def one(v, target):
        return loss.value(v.reshape(1, *f.shape[1:]), target[None])[0]

    gradients, hessians = loss.gradient(f, y), loss.hessian(f, y)
    for n in range(len(f)):
        truth = torch.func.hessian(one)(flat[n], y[n])
        # Entries are omega p (1 - p) and the like: a few roundings of numbers below omega <= 1.5.
        assert torch.allclose(torch.block_diag(*hessians[n]), truth, rtol=0, atol=100 * U)
        slope = torch.func.grad(one)(flat[n], y[n])
        assert torch.allclose(
            gradients[n].flatten(), slope, rtol=0, atol=100 * U * (1 + slope.norm())
        )


def test_labels_follow_the_models_distribution_whatever_the_options():
    """Enumerating the cells of the uniform draw gives every label with its probability, exactly."""
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    y = torch.tensor([[0, 1, -100], [2, 3, 3]])
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0]).double()
    loss = ri.losses.CrossEntropy(weight=weight, label_smoothing=0.2)
    p = F.softmax(f, dim=-1)
    edges = torch.cat([torch.zeros_like(p[..., :1]), p.cumsum(dim=-1)], dim=-1)
    middle = ((edges[..., 1:] + edges[..., :-1]) / 2).movedim(-1, 1)  # one draw a label
    scores = loss.pseudo_gradients(f, y, middle)
    omega = loss.weights(f, y)
    for k in range(4):
        label = F.one_hot(torch.tensor(k), 4).double()
        assert torch.allclose(scores[k], (p - label) * omega.sqrt()[..., None], rtol=0, atol=10 * U)
    moment = torch.einsum("kntc,kntd,ntk->ntcd", scores, scores, p)
    assert torch.allclose(moment, loss.hessian(f, y), rtol=0, atol=30 * U)
    assert bool((moment[0, 2] == 0).all())  # the ignored token
    last = torch.full((2, 1, 3), 1.0, dtype=torch.float64).nextafter(torch.zeros(1).double())
    one = loss.unit_scores(f, last)[0]
    assert torch.allclose(one[..., :3], p[..., :3])  # the last label, and never one beyond it


def test_binary_labels_follow_the_models_distribution():
    f = torch.tensor([[0.3, -2.0]]).double()
    y = torch.tensor([[1.0, 0.0]]).double()
    loss = ri.losses.BinaryCrossEntropy(pos_weight=torch.tensor([4.0, 4.0]).double())
    p = torch.sigmoid(f)
    omega = torch.tensor([[4.0, 1.0]]).double()
    draws = torch.stack([p - 1e-9, p + 1e-9], dim=1)  # just inside, just outside
    positive, negative = loss.pseudo_gradients(f, y, draws)[..., 0]
    assert torch.allclose(positive, (p - 1) * omega.sqrt(), rtol=0, atol=10 * U)
    assert torch.allclose(negative, p * omega.sqrt(), rtol=0, atol=10 * U)
    moment = p * positive**2 + (1 - p) * negative**2
    assert torch.allclose(moment, loss.hessian(f, y)[..., 0, 0], rtol=0, atol=10 * U)


@given(CASES, st.sampled_from([1e-12, 1e-6, 1e-3, 0.3, 30.0, 700.0]))
def test_the_divergence_is_its_definition_in_fifty_digits(case, size):
    loss, s, y = build(case)
    generator = torch.Generator().manual_seed(3)
    f = s + size * torch.randn(s.shape, generator=generator, dtype=torch.float64)
    ours = loss.bregman(f, s, y)
    if not isinstance(loss, ri.losses.CrossEntropy):
        _check_plain(loss, ours, f, s, y)
        return
    omega = loss.weights(f, y)
    tokens = (f.reshape(len(f), -1, f.shape[-1]), s.reshape(len(f), -1, f.shape[-1]))
    with mpmath.workdps(50):
        for n in range(len(f)):
            total, scale = mpmath.mpf(0), 0.0
            for t in range(tokens[0].shape[1]):
                a, b = ([mpmath.mpf(float(v)) for v in part[n, t]] for part in tokens)
                norm = mpmath.log(sum(mpmath.exp(v) for v in b))
                p = [mpmath.exp(v - norm) for v in b]
                d = [u - v for u, v in zip(a, b, strict=True)]
                mean = sum(w * v for w, v in zip(p, d, strict=True))
                value = mpmath.log(sum(w * mpmath.exp(v - mean) for w, v in zip(p, d, strict=True)))
                total += float(omega[n, t]) * value
                # d is a difference of numbers of size max |f|: its rounding enters times sqrt(2 D).
                rounding = U * float(max(abs(v) for v in a + b))
                scale += float(omega[n, t]) * float(mpmath.sqrt(2 * value) * rounding + U * value)
            assert ours[n] >= 0
            assert abs(float(ours[n]) - float(total)) <= 30 * scale + 1e-30


def _check_plain(loss, ours, f, s, y):
    value, at_s = loss.value(f, y), loss.value(s, y)
    slope = (loss.gradient(s, y).reshape(s.shape) * (f - s)).flatten(1).sum(dim=1)
    scale = value + at_s + slope.abs() + (s.abs() + f.abs()).flatten(1).sum(dim=1)
    assert bool((ours >= 0).all())
    assert bool(((ours - (value - at_s - slope)).abs() <= 100 * U * scale).all())


def test_ignored_tokens_count_nothing_and_leave_no_nan():
    loss = ri.losses.CrossEntropy()
    f = torch.full((1, 2, 3), 1e5, dtype=torch.float64)
    f[0, 1] = torch.tensor([1.0, 2.0, 3.0])
    y = torch.tensor([[-100, 1]])
    assert loss.value(f, y) == pytest.approx(float(F.cross_entropy(f[0, 1:], y[0, 1:])))
    assert bool((loss.gradient(f, y)[0, 0] == 0).all())
    assert bool((loss.hessian(f, y)[0, 0] == 0).all())
    for values in (loss.log_likelihood(f, y), loss.logit(f, y), loss.margin(f, y)):
        assert bool(torch.isfinite(values).all())


def test_a_saturated_softmax_keeps_the_digits_of_its_hessian():
    f = torch.tensor([[40.0, 0.0, 1.0]]).double()
    with mpmath.workdps(50):
        e = [mpmath.exp(mpmath.mpf(v)) for v in (40, 0, 1)]
        p = [v / sum(e) for v in e]
        truth = float(p[0] * (p[1] + p[2]))
    H = ri.losses.CrossEntropy().hessian(f, torch.tensor([0]))[0, 0]
    # relative accuracy of exp(-40) in softmax: 40 u from the argument, and a few roundings
    assert float(H[0, 0]) == pytest.approx(truth, rel=100 * U)
