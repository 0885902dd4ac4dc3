"""Losses against torch's own, their second derivatives, and enumerated and drawn labels."""

import pytest
import torch
from hypothesis import given
from loss_cases import U, cases, roundoff, torchs_value
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from refimpl.losses import BinaryCrossEntropy, CrossEntropy, Loss, SquaredError, as_tokens


@given(cases())
def test_value_is_torchs_summed_over_tokens(case):
    loss, f, y = case
    loss.check(f, y)
    value, expected = loss.value(f, y), torchs_value(loss, f, y)
    terms = f[0].numel()
    assert value.shape == f.shape[:1]
    assert bool(((value - expected).abs() <= roundoff(f) * (terms + expected.abs())).all())


@given(cases())
def test_hessian_and_gradient_are_the_derivatives_of_the_value_and_blocks_by_token(case):
    loss, f, y = case
    blocks = loss.hessian(f, y)
    gradient = loss.gradient(f, y)
    for n in range(len(f)):

        def value(flat: Tensor, n: int = n) -> Tensor:
            return loss.value(flat.reshape(f[n : n + 1].shape), y[n : n + 1])[0]

        def torchs(flat: Tensor, n: int = n) -> Tensor:
            return torchs_value(loss, flat.reshape(f[n : n + 1].shape), y[n : n + 1])[0]

        flat = f[n].reshape(-1)
        whole = torch.func.hessian(value)(flat)
        slope = torch.func.grad(torchs)(flat)
        assert (gradient[n].reshape(-1) - slope).abs().max() <= roundoff(f)
        assert (torch.block_diag(*blocks[n]) - whole).abs().max() <= roundoff(f)


def enumerated(loss: Loss, f: Tensor) -> tuple[Tensor, Tensor]:
    """Draws [N, samples, ...] that give every label once, and their probabilities [samples, N, T]."""
    if isinstance(loss, SquaredError):  # +- sqrt(C) e_i: a design with the moments of N(0, I)
        n, t, c = as_tokens(f).shape
        points = c**0.5 * torch.cat([torch.eye(c), -torch.eye(c)]).double()
        return points[None, :, None].expand(n, -1, t, -1), torch.full(
            (2 * c, n, t), 1 / (2 * c), dtype=f.dtype
        )
    if isinstance(loss, CrossEntropy):
        p = as_tokens(f).softmax(dim=-1)
    else:
        one = torch.sigmoid(f.reshape(len(f), -1, 1))
        p = torch.cat([one, 1 - one], dim=-1)  # the draw u means label 1 where u < p
    upper = p.cumsum(dim=-1)
    middle = upper - p / 2  # of the cell of the inverse cumulative distribution
    return middle.movedim(-1, 1), p.movedim(-1, 0)


@given(cases())
def test_pseudo_gradients_over_all_labels_have_mean_zero_and_the_hessian_as_second_moment(case):
    loss, f, y = case
    draws, p = enumerated(loss, f)
    g = loss.pseudo_gradients(f, y, draws)
    H = loss.hessian(f, y)
    root = loss.hessian_root(f, y)
    mean = (p[..., None] * g).sum(dim=0)
    second = torch.einsum("kntc,kntd,knt->ntcd", g, g, p)
    assert (root @ root.mT - H).abs().max() <= roundoff(f)
    assert (second - H).abs().max() <= roundoff(f)
    assert mean.abs().max() <= roundoff(f)


@given(cases())
def test_products_with_the_hessian_are_those_of_the_matrix(case):
    loss, f, y = case
    H = loss.hessian(f, y)
    v = torch.randn(f.shape, generator=torch.Generator().manual_seed(0), dtype=f.dtype)
    expected = (H @ v.reshape(*H.shape[:-1], 1)).reshape(f.shape)
    assert (loss.hessian_product(f, y, v) - expected).abs().max() <= roundoff(f) * v.abs().max()


def test_products_with_the_hessian_of_a_saturated_softmax_keep_their_digits():
    loss, y = CrossEntropy(), torch.tensor([0])
    f = torch.tensor([[40.0, 0.0, -1.0]], dtype=torch.float64)
    v = torch.tensor([[1.0, 3.0, -2.0]], dtype=torch.float64)
    # The root of the Hessian sums the small probabilities by themselves.
    expected = loss.hessian(f, y)[0, 0] @ v[0]
    product = loss.hessian_product(f, y, v)[0]
    # Each entry sums products of like size: a few roundings of its own largest term, 5 of 1e-17.
    assert (product - expected).abs().max() <= 30 * 2.0**-53 * expected.abs().max()


@given(cases())
def test_the_compact_root_has_the_hessian_and_the_columns_of_its_rank(case):
    loss, f, y = case
    root = loss.compact_root(f, y)
    assert (root @ root.mT - loss.hessian(f, y)).abs().max() <= roundoff(f)
    classes = root.shape[-2]
    rank = max(1, classes - 1) if isinstance(loss, CrossEntropy) else classes
    assert root.shape[-1] == rank


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_unit_interval_draw_possible_labels(dtype):
    last = torch.nextafter(torch.ones((), dtype=dtype), torch.zeros((), dtype=dtype))
    f = torch.tensor([[-2e3, 0.3, -0.2, 0.4, -2e3]], dtype=dtype)  # first and last: probability 0
    draws = torch.stack([torch.zeros_like(last), last]).reshape(1, 2, 1)
    scores = CrossEntropy().unit_scores(f, draws)[:, 0, 0]
    assert scores.argmin(dim=-1).tolist() == [1, 3]
    for logit, label in ((2e3, 1), (-2e3, 0)):
        b = BinaryCrossEntropy().unit_scores(torch.tensor([[logit]], dtype=dtype), draws)
        assert (torch.sigmoid(torch.tensor(logit, dtype=dtype)) - b).unique().tolist() == [label]


ALPHA = 1e-6  # chance that a right implementation fails a test below at a random seed


def accept(counts: Tensor, trials: int, p: Tensor) -> None:
    """Exact binomial tests of every count at level ALPHA over all of them (union bound)."""
    for count, probability in zip(counts.flatten().tolist(), p.flatten().tolist(), strict=True):
        law = stats.binomtest(int(count), trials, probability)
        assert law.pvalue > ALPHA / counts.numel(), (count / trials, probability)


def test_drawn_labels_follow_the_softmax_and_tokens_and_examples_are_independent():
    # 40,000 draws show a deviation of 0.0025 x 5 in a probability of 1/2 (5 sigma at ALPHA).
    f = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]], [[0.3, 0.3, 0.0], [0.0, 0.0, 3.0]]])
    loss, samples = CrossEntropy(), 40_000
    draws = loss.draws(f, samples, torch.Generator().manual_seed(3))
    labels = loss.unit_scores(f, draws).argmin(dim=-1).reshape(samples, 4)  # [samples, N * T]
    p = f.softmax(dim=-1).reshape(4, 3)
    accept(torch.stack([labels[:, i].bincount(minlength=3) for i in range(4)]), samples, p)
    for i, j in ((0, 1), (0, 2), (1, 3), (2, 3)):
        pairs = (3 * labels[:, i] + labels[:, j]).bincount(minlength=9)
        accept(pairs, samples, torch.outer(p[i], p[j]))
    following = 3 * labels[:-1:2, 0] + labels[1::2, 0]  # one draw and the next
    accept(following.bincount(minlength=9), samples // 2, torch.outer(p[0], p[0]))


def test_drawn_binary_and_real_labels_follow_their_laws():
    samples, g = 40_000, torch.Generator().manual_seed(5)
    f = torch.tensor([[0.0, -2.0, 1.5]])
    binary = BinaryCrossEntropy()
    b = torch.sigmoid(f) - binary.unit_scores(f, binary.draws(f, samples, g))[:, 0, :, 0]
    accept(b.round().sum(dim=0), samples, torch.sigmoid(f))
    squared = SquaredError()
    z = squared.unit_scores(f, squared.draws(f.double(), samples, g)).reshape(samples, 3)
    low, high = stats.chi2(3 * samples).interval(1 - ALPHA)  # sum of squares of standard normals
    assert low < float((z**2).sum()) < high
    assert abs(float(z.sum())) < stats.norm.isf(ALPHA / 2) * (3 * samples) ** 0.5
    # product of two independent standard normals, M of them: (x+y)^2 - (x-y)^2 over 4
    assert abs(float((z[:, 0] * z[:, 1]).sum())) < 1.01 * stats.norm.isf(ALPHA / 2) * samples**0.5


@pytest.mark.parametrize("hostile", [0.0, 1e6, -1e6])
def test_ignored_tokens_count_exactly_nothing(hostile):
    weight = torch.tensor([0.5, 2.0, 1.0])
    loss = CrossEntropy(ignore_index=-1, weight=weight, label_smoothing=0.1)
    f = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    y = torch.tensor([[0, -1, 2], [-1, -1, -1]])
    gone = y == -1
    g = f.clone()
    g[gone] = hostile * torch.tensor([1.0, -1.0, 0.5]).double()
    draws = loss.draws(f, 2, None)
    for measured in (loss.value, loss.log_likelihood, loss.logit, loss.margin):
        assert torch.equal(measured(f, y), measured(g, y))
        assert measured(g, y)[1] == 0
        slope = torch.func.grad(lambda v, measured=measured: measured(v, y).sum())(g)
        assert bool((slope[gone] == 0).all())
        assert bool(slope.isfinite().all())
    assert torch.equal(loss.bregman(g, f + 1e-3, y), loss.bregman(f, f + 1e-3, y))
    assert loss.bregman(g, f, y)[1] == 0
    for per_token in (loss.gradient(g, y), loss.hessian(g, y), loss.weights(g, y)):
        assert bool((per_token[gone] == 0).all())
    assert bool((loss.pseudo_gradients(g, y, draws)[:, gone] == 0).all())
    slope = torch.func.grad(lambda v: loss.bregman(v, f, y).sum())(g)
    assert bool((slope[gone] == 0).all())
    assert bool(slope.isfinite().all())
    assert loss.counted(y).tolist() == (~gone).tolist()


@pytest.mark.parametrize("loss", [SquaredError(), BinaryCrossEntropy()])
def test_outputs_without_an_axis_of_their_own_are_one_output_an_example(loss):
    f, y = torch.randn(3).double(), torch.rand(3).double()
    draws = loss.draws(f[:, None], 2, None)
    assert torch.equal(loss.draws(f, 2, None), draws)
    for without_axis, with_axis in (
        (loss.value(f, y), loss.value(f[:, None], y[:, None])),
        (loss.hessian(f, y), loss.hessian(f[:, None], y[:, None])),
        (loss.gradient(f, y), loss.gradient(f[:, None], y[:, None])),
        (loss.pseudo_gradients(f, y, draws), loss.pseudo_gradients(f[:, None], y[:, None], draws)),
    ):
        assert torch.equal(without_axis, with_axis)
    assert loss.hessian(f, y).shape == (3, 1, 1, 1)


def test_unsigned_labels_are_the_labels_that_they_spell():
    # -100 compared in uint8 is 156, which is a class here.
    f, y = torch.randn(2, 200).double(), torch.tensor([156, 3])
    loss = CrossEntropy()
    loss.check(f, y.to(torch.uint8))
    assert torch.equal(loss.value(f, y.to(torch.uint8)), loss.value(f, y))
    assert float(loss.value(f, y)[0]) > 0


@given(cases(kinds=("ce",)))
def test_measurements_are_log_probability_logit_and_log_odds_of_the_label(case):
    loss, f, y = case
    counted = y != loss.ignore_index
    label = torch.where(counted, y, 0)
    p = f.softmax(dim=-1).gather(-1, label[..., None])[..., 0]
    logit = f.gather(-1, label[..., None])[..., 0]
    others = f.exp().sum(dim=-1) - logit.exp()

    def total(v: Tensor) -> Tensor:
        return torch.where(counted, v, 0.0).reshape(len(f), -1).sum(dim=1)

    tokens = counted[0].numel()
    assert (loss.log_likelihood(f, y) - total(p.log())).abs().max() <= tokens * roundoff(f)
    assert (loss.logit(f, y) - total(logit)).abs().max() <= tokens * roundoff(f)
    if f.shape[-1] > 1 and float(f.abs().max()) < 5:  # the naive sum of the others cancels later
        slack = roundoff(f) / float((1 - p).min())
        assert (loss.margin(f, y) - total(logit - others.log())).abs().max() <= tokens * slack


def test_binary_measurements():
    f, y = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[1.0, 0.0]]).double()
    loss = BinaryCrossEntropy(pos_weight=3.0)
    plain = -F.binary_cross_entropy_with_logits(f, y, reduction="sum")
    assert float(loss.log_likelihood(f, y)) == pytest.approx(float(plain), rel=8 * U)
    assert float(loss.logit(f, y)) == -0.5
    assert float(loss.margin(f, y)) == 1.5


def test_draws_are_the_generators_and_never_the_global_state():
    f = torch.zeros(3, 2, 4)
    before = torch.get_rng_state()
    for loss in (CrossEntropy(), SquaredError(), BinaryCrossEntropy()):
        first = loss.draws(f, 5, torch.Generator().manual_seed(1))
        assert first.shape[:2] == (3, 5)
        assert torch.equal(first, loss.draws(f, 5, torch.Generator().manual_seed(1)))
        assert not torch.equal(first, loss.draws(f, 5, torch.Generator().manual_seed(2)))
        seeded = loss.draws(f, 5, torch.Generator().manual_seed(0))
        assert torch.equal(loss.draws(f, 5, None), seeded)  # a report made twice is the same
    assert torch.equal(before, torch.get_rng_state())


def test_the_log_likelihood_of_a_squared_error_is_minus_the_loss_and_falls_towards_the_labels():
    loss = SquaredError()
    f = torch.tensor([[[1.0, 2.0], [0.0, -1.0]]]).double()
    y = torch.tensor([[[0.0, 2.0], [2.0, -1.0]]]).double()
    assert loss.log_likelihood(f, y).tolist() == [-2.5]
    # At the label f + e the gradient of the loss in f is -e.
    e = torch.tensor([[[[0.5, -1.0], [2.0, 0.0]]]]).double()
    assert torch.equal(loss.unit_scores(f, e)[0], -e[:, 0])
