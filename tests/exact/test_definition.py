"""The definitions against a Gauss-Newton Hessian derived by hand, and against finite differences."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from jaxtyping import Float
from strategies import mlp, problems, randomise
from torch import Tensor
from torch.nn import functional as F

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def two_layer_gauss_newton(
    W1: Float[Tensor, "H I"],
    b1: Float[Tensor, " H"],
    W2: Float[Tensor, "C H"],
    b2: Float[Tensor, " C"],
    x: Float[Tensor, "N I"],
) -> Float[Tensor, "P P"]:
    """G of f = W2 tanh(W1 x + b1) + b2 under softmax cross-entropy, derived with pencil and paper.

    df_c/d[W2|b2]_{k,.} = delta_ck (h, 1);  df_c/d[W1|b1]_{j,.} = W2_cj (1 - h_j^2) (x, 1).
    """
    h = torch.tanh(x @ W1.T + b1)
    x1 = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    h1 = torch.cat([h, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    n, c, hidden = len(x), len(W2), len(W1)
    first = (W2[None] * (1 - h**2)[:, None, :])[..., None] * x1[:, None, None, :]
    second = torch.eye(c, dtype=x.dtype)[None, :, :, None] * h1[:, None, None, :]
    J = torch.cat([first.reshape(n, c, -1), second.reshape(n, c, -1)], dim=2)
    p = F.softmax(h @ W2.T + b2, dim=1)
    total = torch.zeros(J.shape[2], J.shape[2], dtype=x.dtype)
    for i in range(n):
        H = torch.diag(p[i]) - torch.outer(p[i], p[i])
        total += J[i].T @ H @ J[i]
    assert hidden * (x.shape[1] + 1) + c * (hidden + 1) == len(total)
    return total / n


def _two_layer(seed: int, sizes: tuple[int, int, int], n: int) -> ri.Problem:
    generator = torch.Generator().manual_seed(seed)
    model = randomise(mlp(list(sizes), bias=True, activation="tanh"), generator)
    x = torch.randn(n, sizes[0], generator=generator, dtype=torch.float64)
    y = torch.randint(sizes[2], (n,), generator=generator)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)


@given(st.integers(0, 2**31 - 1), st.tuples(*[st.integers(1, 6)] * 3), st.integers(1, 8))
def test_gauss_newton_equals_the_hand_derived_one_of_a_two_layer_mlp(seed, sizes, n):
    problem = _two_layer(seed, sizes, n)
    named = problem.layout.named(problem.parameters)
    by_hand = two_layer_gauss_newton(
        named["0.weight"], named["0.bias"], named["2.weight"], named["2.bias"], problem.inputs
    )
    scale = by_hand.norm()
    for G in (ri.exact.gauss_newton_matrix(problem), ri.exact.GaussNewton(problem).dense()):
        # The bound; sums of N C products of a few factors round to about 1e-15. A saturated
        # softmax leaves p - p^2 the roundings of p, hence the absolute part.
        within((G - by_hand).norm(), 1e-13 * scale + 8 * U * problem.inputs.norm() ** 2)


def test_gauss_newton_of_the_digits_shape_is_within_1e_13_of_the_hand_derived_one():
    problem = _two_layer(0, (64, 8, 10), 50)
    named = problem.layout.named(problem.parameters)
    by_hand = two_layer_gauss_newton(
        named["0.weight"], named["0.bias"], named["2.weight"], named["2.bias"], problem.inputs
    )
    for G in (ri.exact.gauss_newton_matrix(problem), ri.exact.GaussNewton(problem).dense()):
        assert (G - by_hand).norm() < 1e-13 * by_hand.norm()


@given(problems(depth=(1, 2), width=(1, 4), examples=(1, 4), tokens=(0, 2), classes=(1, 3)))
def test_jacobian_matches_central_differences(problem):
    J = ri.exact.jacobian(problem)
    theta, h = problem.parameters, 1e-5
    steps = h * torch.eye(len(theta), dtype=theta.dtype)
    smooth = all(not isinstance(m, torch.nn.ReLU) for m in problem.model.modules())
    if not smooth:
        return  # a kink within h of the point would spoil the differences, not the Jacobian
    columns = [
        (problem.outputs(None, theta + e) - problem.outputs(None, theta - e)).flatten(1) / (2 * h)
        for e in steps
    ]
    # Central differences: truncation h^2 f'''/6 and roundings u |f| / h, both below 1e-9 times the
    # largest third derivative here, which random networks of this size keep below 1e4.
    scale = 1 + problem.outputs().abs().max()
    assert torch.allclose(torch.stack(columns, dim=2), J, rtol=0, atol=1e-5 * float(scale))


@given(problems(depth=(1, 2), width=(1, 4), examples=(1, 4), tokens=(0, 2), classes=(1, 4)))
def test_the_output_hessian_in_closed_form_equals_the_differentiated_one(problem):
    by_torch = ri.exact.output_hessian(problem)
    outputs = problem.outputs()
    closed = torch.stack(
        [torch.block_diag(*H) for H in problem.loss.hessian(outputs, problem.targets)]
    )
    weight = problem.loss.weights(outputs, problem.targets).abs().max()
    # Entries are omega times sums of a few products of probabilities, each rounded a few times.
    size = closed.shape[-1]
    within((by_torch - closed).abs().max(), 30 * U * size * weight)


@given(problems(depth=(1, 2), width=(1, 4), examples=(1, 5), tokens=(0, 3), classes=(1, 3)))
def test_the_hessian_is_the_derivative_of_the_mean_gradient(problem):
    theta = problem.parameters

    def objective(t: Tensor) -> Tensor:
        return problem.losses(parameters=t).mean()

    by_autograd = torch.autograd.functional.hessian(objective, theta)  # reverse over reverse
    H = ri.exact.hessian(problem)
    # Two orders of differentiation, the same arithmetic up to rounding in sums of N T C terms.
    count = problem.outputs().numel()
    scale = 1 + float(by_autograd.abs().max()) * count
    within((H - by_autograd).abs().max(), 1e3 * U * scale)


def test_batches_do_not_change_the_definition(monkeypatch):
    problem = _two_layer(0, (3, 4, 3), 7)
    whole = ri.exact.gauss_newton_matrix(problem), ri.exact.hessian(problem)
    jacobian = ri.exact.jacobian(problem)
    monkeypatch.setattr("refimpl.problem.memory.JACOBIANS", 1)  # one example at a time
    split = ri.exact.gauss_newton_matrix(problem), ri.exact.hessian(problem)
    for a, b in zip(whole, split, strict=True):
        within((a - b).norm(), 10 * U * 7 * a.norm())
    assert torch.equal(jacobian, ri.exact.jacobian(problem)) or torch.allclose(
        jacobian, ri.exact.jacobian(problem), rtol=10 * U, atol=10 * U
    )
