"""EK-FAC's eigenvalues: diagonal of the block in its eigenbasis, trace, optimality, solves."""

import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, relative_rounding, vectors
from torch import nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


@given(problems(), st.sampled_from(["expand", "reduce"]), st.sampled_from([None, 2]))
def test_eigenvalues_are_the_diagonal_of_the_block_in_the_kronecker_basis(
    problem, sharing, batch_size
):
    curvature = ri.fast.EKFAC(problem, weight_sharing=sharing, batch_size=batch_size)
    G = ri.exact.gauss_newton_matrix(problem)
    for block in problem.layout.blocks:
        Q_A, Q_S, eigenvalues = curvature.eigen[block.name]
        Q = torch.kron(Q_S, Q_A)
        truth = G[block.slice, block.slice]
        diagonal = (Q.T @ truth @ Q).diagonal().reshape(eigenvalues.shape)
        # Both are sums of N T C squares of inner products of length O I, of total size trace(G).
        size = (problem.outputs().numel() * len(Q)) ** 0.5
        within((diagonal - eigenvalues).abs().max(), 30 * U * size * _scale(problem))


@given(problems(), st.integers(1, 5), st.sampled_from(["exact", "sampled", "empirical"]))
def test_the_batch_size_changes_nothing(problem, batch_size, fisher):
    whole = ri.fast.EKFAC(problem, fisher=fisher, samples=2)
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in whole.eigen.items()}
    draws = None
    if fisher == "sampled":
        from refimpl.rows.draws import label_draws

        draws = label_draws(problem, 2, None)
    from refimpl.fast.ekfac import corrected_eigenvalues

    split = corrected_eigenvalues(
        problem, basis, fisher=fisher, samples=2, draws=draws, batch_size=batch_size
    )
    for name, (_, _, eigenvalues) in whole.eigen.items():
        # Squares of turned gradients, each off by u times its gradient's norm: their sum is the trace.
        within((eigenvalues - split[name]).norm(), relative_rounding(problem) * eigenvalues.sum())


@given(problems(), st.sampled_from([1e-8, 1e-3, 1.0]))
def test_solves_invert_the_dense_matrix(problem, damping):
    curvature = ri.fast.EKFAC(problem)
    b = vectors(problem, 2)
    solution = curvature.solve(b, damping)
    assert bool(solution.certificate.converged.all())
    dense = curvature.dense() + damping * torch.eye(problem.num_parameters).double()
    norm = torch.linalg.matrix_norm(dense, ord=2)
    scale = norm * solution.value.norm(dim=1) + b.norm(dim=1)
    error = (solution.value @ dense - b).norm(dim=1)
    within(error, 4 * solution.certificate.tolerance * scale)


@given(problems(), st.integers(0, 100))
def test_apply_is_linear_symmetric_and_equal_to_the_dense_matrix(problem, seed):
    b = vectors(problem, 2, seed)
    for curvature in (ri.fast.EKFAC(problem), ri.fast.KFAC(problem)):
        dense = curvature.dense()
        slack = 30 * U * problem.num_parameters**0.5 * (1 + dense.norm()) * b.norm()
        within((curvature.apply(b) - b @ dense.T).norm(), slack)
        within((dense - dense.T).norm(), slack)


def _scale(problem: ri.Problem) -> float:
    """Trace of the GNH without the output Hessian's own cancellation: weights times ||J||^2 / N."""
    weight = problem.loss.weights(problem.outputs(), problem.targets).max()
    return float(weight * ri.exact.jacobian(problem).norm() ** 2 / problem.num_examples) + U


@given(problems(), st.sampled_from(["exact", "sampled", "empirical"]))
def test_factors_found_before_give_the_same_matrices(problem, fisher):
    kfac = ri.fast.KFAC(problem, fisher=fisher)
    ekfac = ri.fast.EKFAC(problem, fisher=fisher, factors=kfac.factors)
    assert torch.equal(ekfac.dense(), ri.fast.EKFAC(problem, fisher=fisher).dense())
    with pytest.MonkeyPatch.context() as patch:  # with both, no pass is made
        patch.setattr("refimpl.rows.sweeps.forward_pass", None)
        read = ri.fast.EKFAC(problem, fisher=fisher, factors=ekfac.factors, eigen=ekfac.eigen)
    assert torch.equal(read.dense(), ekfac.dense())
    again = ri.fast.KFAC(problem, factors=kfac.factors, factored_damping=True)
    b = vectors(problem, 1)
    truth = ri.fast.KFAC(problem, fisher=fisher, factored_damping=True).solve(b, 0.1).value
    assert torch.equal(again.solve(b, 0.1).value, truth)


@given(problems())
def test_empirical_eigenvalues_are_the_second_moment_of_the_data_gradients(problem):
    ekfac = ri.fast.EKFAC(problem, fisher="empirical")
    gradients = problem.layout.matrices(problem.gradients())
    for name, (Q_A, Q_S, eigenvalues) in ekfac.eigen.items():
        truth = ((Q_S.T @ gradients[name] @ Q_A) ** 2).mean(dim=0)
        scale = (gradients[name] ** 2).sum() / problem.num_examples + U
        within((eigenvalues - truth).norm(), 1e3 * U * scale)


def test_it_says_which_fisher_it_is_of():
    problem = ri.Problem(nn.Linear(2, 2), ri.losses.CrossEntropy(), torch.eye(2), torch.arange(2))
    assert repr(ri.fast.EKFAC(problem, fisher="empirical")) == "EKFAC(fisher='empirical')"
