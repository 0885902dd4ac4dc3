"""A loss of one's own without a likelihood: curvatures and responses as of any other, no drawn labels."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, strategies as st
from strategies import mlp, randomise, relative_rounding, vectors
from torch import Tensor, nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


@dataclass(frozen=True)
class PseudoHuber(ri.losses.Loss):
    """sum_c sqrt(1 + r_c^2) - 1, r = f - y: quadratic near the target and linear far from it."""

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        if targets.shape != outputs.shape or not targets.is_floating_point():
            raise ValueError("PseudoHuber needs floating-point targets of the outputs' shape")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((1 + (outputs - targets) ** 2).sqrt() - 1).flatten(1).sum(dim=1)

    def hessian_root(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.diag_embed((1 + ri.losses.as_tokens(outputs - targets) ** 2) ** -0.75)

    def bregman(self, outputs: Tensor, reference: Tensor, targets: Tensor) -> Tensor:
        # With a = sqrt(1 + r^2), b = sqrt(1 + q^2): D = (a b - 1 - q r) / b, and
        # (a b - 1 - q r) (a b + 1 + q r) = (r - q)^2; of the two the one that does not cancel.
        r, q = outputs - targets, reference - targets
        a, b = (1 + r**2).sqrt(), (1 + q**2).sqrt()
        opposite = q * r < 0
        near = (r - q) ** 2 / torch.where(opposite, 1.0, a * b + 1 + q * r)
        return (torch.where(opposite, a * b - 1 - q * r, near) / b).flatten(1).sum(dim=1)


def problem_of(
    seed: int, lead: tuple[int, ...], widths: list[int], bias: bool = True
) -> ri.Problem:
    generator = torch.Generator().manual_seed(seed)
    model = randomise(mlp(widths, bias=bias, activation="tanh"), generator)
    x = 0.5 + torch.randn(*lead, widths[0], generator=generator, dtype=torch.float64)
    y = 2 * torch.randn(*lead, widths[-1], generator=generator, dtype=torch.float64)
    return ri.Problem(model, PseudoHuber(), x, y)


@st.composite
def problems(draw: st.DrawFn, tokens: int = 2, examples: int = 5) -> ri.Problem:
    lead = [draw(st.integers(1, examples))] + ([draw(st.integers(1, 3))] if tokens else [])
    widths = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(2, 4)))]
    return problem_of(draw(st.integers(0, 2**31 - 1)), tuple(lead), widths, draw(st.booleans()))


def rounding_of(problem: ri.Problem) -> float:
    """What the roundings of G may come to: its entries are sums of J^T H J, and H <= 1."""
    size = float(ri.exact.jacobian(problem).norm() ** 2) / problem.num_examples
    return relative_rounding(problem) * (size + U)


@given(problems())
def test_gradient_hessian_and_products_are_the_derivatives_of_the_value(problem):
    loss, f, y = problem.loss, problem.outputs(), problem.targets
    v = torch.randn(f.shape, generator=torch.Generator().manual_seed(0), dtype=f.dtype)
    H, product = loss.hessian(f, y), loss.hessian_product(f, y, v)
    assert (
        ri.exact.output_hessian(problem) - torch.stack([torch.block_diag(*h) for h in H])
    ).abs().max() <= 16 * U
    assert (product - (f - y).square().add(1) ** -1.5 * v).abs().max() <= 16 * U * v.abs().max()
    slope = ((f - y) / (1 + (f - y) ** 2).sqrt()).reshape(H.shape[:-1])
    assert (loss.gradient(f, y) - slope).abs().max() <= 16 * U


@given(problems())
def test_the_structured_routes_are_the_definition(problem):
    G, V, slack = ri.exact.gauss_newton_matrix(problem), vectors(problem, 2), rounding_of(problem)
    assert (ri.exact.GaussNewton(problem).dense() - G).norm() <= slack
    for method in ("primal", "dual", "iterative"):
        products = ri.exact.GaussNewton(problem, method=method).apply(V)
        assert (products - V @ G).norm() <= 10 * slack * V.norm()


@given(problems(tokens=0, examples=1))
def test_kfac_and_ekfac_of_one_example_are_its_blocks(problem):
    # Of one example with one position, S (x) A = (J_s^T H J_s) (x) a a^T is the block itself.
    blocks = ri.fast.BlockDiagonal(problem).dense()
    for curvature in (ri.fast.KFAC(problem), ri.fast.EKFAC(problem)):
        assert (curvature.dense() - blocks).norm() <= 100 * rounding_of(problem)


@given(problems(tokens=0))
def test_ekfac_has_the_diagonal_of_the_definition_in_its_eigenbasis(problem):
    G = ri.exact.gauss_newton_matrix(problem)
    ekfac = ri.fast.EKFAC(problem)
    for block in problem.layout.blocks:
        Q_A, Q_S, eigenvalues = ekfac.eigen[block.name]
        Q = torch.kron(Q_S, Q_A)
        diagonal = (Q.T @ G[block.slice, block.slice] @ Q).diagonal()
        assert (eigenvalues.flatten() - diagonal).norm() <= 10 * rounding_of(problem)


def test_a_response_is_stationary_by_the_divergences_definition():
    problem = problem_of(0, (6,), [3, 4, 2])
    epsilon, damping, m = 0.1, 0.05, 2
    response = ri.exact.bregman_response(problem, [m], epsilon=epsilon, damping=damping)
    response.certificate.require()
    loss, y, s = problem.loss, problem.targets, problem.outputs()
    slope = loss.gradient(s, y).reshape(s.shape)

    def objective(theta: Tensor) -> Tensor:
        f = problem.outputs(None, theta)
        values = loss.value(f, y)
        divergence = values - loss.value(s, y) - (slope * (f - s)).sum(dim=1)
        shift = theta - problem.parameters
        return divergence.mean() + epsilon * values[m] + damping / 2 * shift @ shift

    gradient = torch.func.grad(objective)
    start, end = gradient(problem.parameters).norm(), gradient(response.parameters[0]).norm()
    assert end <= 1.1e-8 * start + 100 * U  # the tolerance, and the definition's own cancellation
    assert (response.parameters[0] - problem.parameters).norm() > 1e-3


def test_what_needs_a_label_distribution_is_refused_in_one_sentence():
    problem = problem_of(0, (4,), [3, 2])
    for curvature in (ri.fast.KFAC, ri.fast.EKFAC):
        with pytest.raises(
            ValueError, match=r"PseudoHuber\(\) is the likelihood of none: use fish"
        ):
            curvature(problem, fisher="sampled")
        curvature(problem, fisher="empirical")
    for measurement in ("log_likelihood", "logit", "margin"):
        with pytest.raises(
            ValueError, match=rf"'{measurement}' needs a .* loss|'{measurement}' needs"
        ):
            problem.measure(measurement=measurement)


def test_a_response_needs_a_divergence(monkeypatch):
    monkeypatch.delattr(PseudoHuber, "bregman")
    with pytest.raises(ValueError, match=r"needs a Bregman divergence, which PseudoHuber\(\) does"):
        ri.exact.bregman_response(problem_of(0, (4,), [3, 2]), [0], epsilon=0.1, damping=0.1)


def test_a_loss_without_a_root_is_none():
    class Valued(ri.losses.Loss):
        check, value = PseudoHuber.check, PseudoHuber.value

    with pytest.raises(TypeError, match="hessian_root"):
        Valued()
    with pytest.raises(TypeError, match=r"one of refimpl.losses|Expected type"):
        ri.Problem(nn.Linear(1, 1), Valued, torch.ones(1, 1), torch.ones(1, 1))
