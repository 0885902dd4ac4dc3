"""The structured Gauss-Newton Hessian against its definition; its solves against direct inverses."""

import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, scale_of, vectors

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


@given(problems())
def test_structured_assembly_equals_the_definition(problem):
    G = ri.exact.gauss_newton_matrix(problem)
    structured = ri.exact.GaussNewton(problem).dense()
    # Entries are sums of K = N T C products; by Cauchy-Schwarz each sum's roundings are below
    # sqrt(K) u sqrt(G_ii G_jj) (Higham & Mary 2019) times the few factors of the backward pass. Where a
    # softmax saturates, p (1 - p) keeps only the absolute accuracy of p in the definition.
    count = problem.outputs().numel()
    rows = ri.exact.jacobian(problem).flatten(0, 1)
    weight = problem.loss.weights(problem.outputs(), problem.targets).max()
    scale = G.norm() + weight * rows.norm() ** 2 / problem.num_examples
    within((structured - G).norm(), 30 * U * count**0.5 * scale)


@given(problems())
def test_the_gauss_newton_matrix_is_symmetric_and_positive(problem):
    G = ri.exact.GaussNewton(problem).dense()
    size = len(G)
    assert torch.allclose(G, G.T, rtol=0, atol=float(4 * U * G.abs().max()))
    # Weyl: roundings move an eigenvalue by at most the norm of the error, size u ||G||.
    assert torch.linalg.eigvalsh(G).min() >= -10 * size * U * G.norm()


@given(problems(width=(1, 6), depth=(1, 2)), st.sampled_from([1e-10, 1e-6, 1e-3, 1.0]))
def test_solves_are_backward_stable_and_within_their_forward_bound(problem, damping):
    curvature = ri.exact.GaussNewton(problem)
    b = vectors(problem, 3)
    solution = curvature.solve(b, damping)
    assert bool(solution.certificate.converged.all())
    # Independent of Cholesky: an eigendecomposition in the same precision, itself stable.
    w, Q = torch.linalg.eigh(curvature.dense())
    x = (b @ Q) / (w.clamp(min=0) + damping) @ Q.T
    kappa = float(w[-1].clamp(min=0) / damping) + 1
    slack = 30 * U * kappa * len(w) ** 0.5 + solution.certificate.forward_error_bound
    if bool((slack < 1).all()):
        within((solution.value - x).norm(dim=1), slack * x.norm(dim=1))


def test_a_certificate_tells_a_wrong_answer(monkeypatch):
    problem = _problem()
    curvature = ri.exact.GaussNewton(problem)
    honest = ri.Dense.solve_uncertified
    monkeypatch.setattr(
        ri.Dense, "solve_uncertified", lambda self, v, damping: honest(self, v, 2 * damping)
    )
    solution = curvature.solve(vectors(problem, 2), 1e-2)
    assert not bool(solution.certificate.converged.any())
    with pytest.raises(ri.NotConverged, match="2 of 2 solves missed"):
        solution.certificate.require()


@pytest.mark.parametrize("method", ["dual", "iterative"])
def test_a_block_takes_no_more_columns_than_its_own(method, monkeypatch):
    problem = _problem()
    truth = ri.exact.gauss_newton_matrix(problem)
    curvature = ri.exact.GaussNewton(problem, method=method)
    monkeypatch.setattr(torch, "eye", None)  # a P x P identity
    for block in problem.layout.blocks:
        error = (curvature.block(block.name) - truth[block.slice, block.slice]).norm()
        within(error, 1e3 * U * scale_of(problem))


def test_a_block_is_the_diagonal_block_of_its_layer():
    problem = _problem()
    curvature = ri.exact.GaussNewton(problem)
    for block in problem.layout.blocks:
        whole = curvature.dense()[block.slice, block.slice]
        assert torch.equal(curvature.block(block.name), whole)
    with pytest.raises(ValueError, match="no block 'head'"):
        curvature.block("head")


def test_large_matrices_get_their_norm_from_lanczos():
    problem = _problem(widths=(20, 20, 3))
    curvature = ri.exact.GaussNewton(problem)
    assert problem.num_parameters > 256
    low, high = curvature.spectrum()
    exact = torch.linalg.eigvalsh(curvature.dense())
    assert low == 0.0
    assert high == pytest.approx(float(exact[-1]), rel=2e-3)  # the tolerance asked of Lanczos
    assert curvature.spectrum(exact=True)[1] == pytest.approx(float(exact[-1]), rel=1e-12)


def test_an_unknown_method_is_refused():
    with pytest.raises((ValueError, TypeError), match="method"):
        ri.exact.GaussNewton(_problem(), method="magic")  # type: ignore[arg-type]


def _problem(widths: tuple[int, int, int] = (3, 4, 3)) -> ri.Problem:
    generator = torch.Generator().manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Linear(*widths[:2]), torch.nn.Tanh(), torch.nn.Linear(*widths[1:])
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(9, widths[0], generator=generator, dtype=torch.float64)
    y = torch.randint(widths[2], (9,), generator=generator)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)
