"""When K-FAC and EK-FAC equal the Gauss-Newton block (identities 1-5, 8, 24, 25, 27, 28)."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import mlp, problems, python_random_untouched, randomise, targets_for
from torch import nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


class Pooled(nn.Module):
    """A network acting token by token, its outputs averaged or summed over tokens at the end."""

    def __init__(self, inner: nn.Module, mean: bool) -> None:
        super().__init__()
        self.inner, self.mean = inner, mean

    def forward(self, x):
        f = self.inner(x)
        return f.mean(dim=1) if self.mean else f.sum(dim=1)


@st.composite
def pooled_linear(draw):
    """Deep linear networks on tokens, averaged or summed before a squared error."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    widths = [draw(st.integers(1, 5)) for _ in range(draw(st.integers(2, 4)))]
    n, t = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    inner = mlp(widths, bias=draw(st.booleans()), activation="identity")
    model = Pooled(randomise(inner, generator), draw(st.booleans()))
    x = 0.5 + torch.randn(n, t, widths[0], generator=generator, dtype=torch.float64)
    y = targets_for("squared_error", (n, widths[-1]), generator)
    with python_random_untouched():
        return ri.Problem(model, ri.losses.SquaredError(), x, y)


def assert_blocks_equal(problem: ri.Problem, curvature: ri.Curvature) -> None:
    """Every block equals the GNH's, to the roundings of sums of N T C products (Higham & Mary 2019)."""
    G, dense = ri.exact.gauss_newton_matrix(problem), curvature.dense()
    weight = problem.loss.weights(problem.outputs(), problem.targets).max()
    J = ri.exact.jacobian(problem)
    for b in problem.layout.blocks:
        scale = weight * J[..., b.slice].norm() ** 2 / problem.num_examples
        error = (dense[b.slice, b.slice] - G[b.slice, b.slice]).norm()
        # K-FAC multiplies two such sums, each with its relative error, EK-FAC turns them by Q.
        within(error, 100 * U * J.numel() ** 0.5 * len(dense) ** 0.5 * scale)


@given(problems(tokens=(0, 0), examples=(1, 1)))
def test_1_and_8_one_example(problem):
    assert_blocks_equal(problem, ri.fast.KFAC(problem))
    assert_blocks_equal(problem, ri.fast.EKFAC(problem))


@given(problems(tokens=(0, 0), activations=("identity",), losses=("squared_error",)))
def test_2_and_8_deep_linear_network(problem):
    assert_blocks_equal(problem, ri.fast.KFAC(problem))
    assert_blocks_equal(problem, ri.fast.EKFAC(problem))


@given(problems(tokens=(1, 6), activations=("identity",), losses=("squared_error",), mixing=False))
def test_3_and_8_expand_on_tokens(problem):
    assert_blocks_equal(problem, ri.fast.KFAC(problem, weight_sharing="expand"))
    # EK-FAC, which squares sums over tokens, is at least as near: here it equals the block, too.
    assert_blocks_equal(problem, ri.fast.EKFAC(problem, weight_sharing="expand"))


@given(pooled_linear())
def test_4_and_8_reduce_on_pooled_tokens(problem):
    assert_blocks_equal(problem, ri.fast.KFAC(problem, weight_sharing="reduce"))
    assert_blocks_equal(problem, ri.fast.EKFAC(problem, weight_sharing="reduce"))


@given(problems(tokens=(0, 0), losses=("squared_error",)))
def test_5_and_8_last_layer_under_squared_error(problem):
    last = problem.layout.blocks[-1]
    A, S = ri.fast.KFAC(problem).factors[last.name]
    G = ri.exact.gauss_newton_matrix(problem)[last.slice, last.slice]
    eye = torch.eye(len(S)).double()
    within((S - eye).abs().max(), 4 * U * problem.num_examples)
    within((torch.kron(eye, A) - G).norm(), 100 * U * problem.num_examples * G.norm())
    E = ri.fast.EKFAC(problem).dense()[last.slice, last.slice]
    within((E - G).norm(), 100 * U * problem.num_examples * len(G) ** 0.5 * G.norm(), "EK-FAC")


@given(problems(tokens=(0, 0), examples=(1, 1), ignored=False), st.integers(2, 6))
def test_24_identical_examples(problem, copies):
    x = problem.inputs.expand(copies, -1)
    y = problem.targets.expand(copies, *problem.targets.shape[1:])
    same = ri.Problem(problem.model, problem.loss, x, y)
    assert_blocks_equal(same, ri.fast.KFAC(same))
    assert_blocks_equal(same, ri.fast.EKFAC(same))


@given(problems(tokens=(0, 1)))
def test_25_expand_is_reduce_with_one_token(problem):
    expand = ri.fast.KFAC(problem, weight_sharing="expand").factors
    reduce = ri.fast.KFAC(problem, weight_sharing="reduce").factors
    for name in expand:
        for a, b in zip(expand[name], reduce[name], strict=True):
            within((a - b).norm(), 10 * U * a.norm())


@given(problems(tokens=(0, 0), losses=("cross_entropy",), options=False, ignored=False))
def test_27_softmax_rows_of_the_last_S(problem):
    p = torch.softmax(problem.outputs(), dim=1)
    _, S = ri.fast.KFAC(problem).factors[problem.layout.blocks[-1].name]
    R = problem.loss.hessian_root(problem.outputs(), problem.targets)[:, 0]
    hand = torch.diag_embed(p.sqrt()) - p[:, :, None] * p.sqrt()[:, None, :]
    within((R - hand).abs().max(), 10 * U)
    within(S.sum(dim=1).abs().max(), 30 * U * len(S))
    within(abs(S.trace() - (1 - (p**2).sum(dim=1)).mean()), 30 * U * len(S))


@given(problems(tokens=(0, 0), bias=True, ignored=False))
def test_28_homogeneous_coordinates(problem):
    for b in problem.layout.blocks:
        A, _ = ri.fast.KFAC(problem).factors[b.name]
        within(abs(A[-1, -1] - 1), 10 * U * problem.num_examples)
    first = ri.fast.KFAC(problem).factors[problem.layout.blocks[0].name][0]
    mean = problem.inputs.mean(dim=0)
    scale = problem.inputs.abs().max()
    within((first[-1, :-1] - mean).abs().max(), 10 * U * problem.num_examples * (1 + scale))
