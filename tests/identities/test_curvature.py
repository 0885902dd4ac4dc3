"""Identities of the Gauss-Newton Hessian, and what the data's order and number leave alone (10-14)."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, scale_of

import refimpl as ri
from refimpl.fast.ekfac import corrected_eigenvalues

U = torch.finfo(torch.float64).eps / 2


def changed(problem: ri.Problem, inputs, targets) -> ri.Problem:
    return ri.Problem(problem.model, problem.loss, inputs, targets)


@given(problems(depth=(1, 1), tokens=(0, 3), examples=(1, 6), width=(1, 5)))
def test_10_gnh_is_hessian_where_outputs_are_linear_in_the_parameters(problem):
    error = (ri.exact.hessian(problem) - ri.exact.GaussNewton(problem).dense()).norm()
    within(error, 1e3 * U * scale_of(problem))


PIECEWISE_LINEAR = problems(
    activations=("relu", "identity"),
    tokens=(0, 0),
    depth=(2, 3),
    examples=(1, 5),
    width=(1, 4),
    classes=(1, 3),
)


@given(PIECEWISE_LINEAR)
def test_11_blocks_agree_with_the_hessians_where_activations_are_piecewise_linear(problem):
    H, G = ri.exact.hessian(problem), ri.exact.GaussNewton(problem).dense()
    for b in problem.layout.blocks:
        error = (H[b.slice, b.slice] - G[b.slice, b.slice]).norm()
        within(error, 1e3 * U * (scale_of(problem) + H.norm()))


@given(problems(tokens=(0, 2), examples=(1, 4), classes=(1, 5)))
def test_12_rank_and_null_vector_of_the_softmax(problem):
    G = ri.exact.GaussNewton(problem).dense()
    f = problem.outputs()
    softmax = isinstance(problem.loss, ri.losses.CrossEntropy)
    rank = f[..., 0].numel() * (f.shape[-1] - softmax)
    values = torch.linalg.eigvalsh(G).flip(0)
    # Weyl: what is zero is off by no more than the norm of the roundings.
    within(values[rank:].abs().sum(), 1e3 * U * len(G) * scale_of(problem))
    if softmax:
        H = problem.loss.hessian(f, problem.targets)
        weight = 1 + float(problem.loss.weights(f, problem.targets).max())
        within(H.sum(dim=-1).abs().max(), 30 * U * weight, "ones")


@given(problems(tokens=(0, 2), examples=(1, 6), width=(1, 6)), st.sampled_from([1e-4, 1e-2, 1.0]))
def test_13_the_kernel_route_solves_the_same_system(problem, damping):
    J = ri.exact.jacobian(problem)
    root = problem.loss.hessian_root(problem.outputs(), problem.targets)
    blocks = [torch.block_diag(*r) for r in root]
    K = torch.cat([r.T @ j for r, j in zip(blocks, J, strict=True)]) / len(J) ** 0.5
    b = problem.gradients()
    inner = damping * torch.eye(len(K)).double() + K @ K.T
    woodbury = (b - torch.linalg.solve(inner, K @ b.T).T @ K) / damping
    solution = ri.exact.GaussNewton(problem).solve(b, damping).value
    kappa = 1 + scale_of(problem) / damping
    within((solution - woodbury).norm(), 1e3 * U * kappa * b.norm() / damping)


@given(
    problem=problems(examples=(2, 8)),
    copies=st.integers(2, 3),
    batch_size=st.integers(1, 5),
    rng=st.randoms(use_true_random=False),
)
def test_14_repeating_permuting_and_splitting_the_data_changes_nothing(
    problem, copies, batch_size, rng
):
    order = list(range(problem.num_examples)) * copies
    rng.shuffle(order)
    other = changed(problem, problem.inputs[order], problem.targets[order])
    slack = 1e3 * U * scale_of(problem)
    first, second = (ri.exact.GaussNewton(v).dense() for v in (problem, other))
    within((first - second).norm(), slack, "G")
    ekfac = ri.fast.EKFAC(problem)
    factors = ri.fast.KFAC(other, batch_size=batch_size).factors
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in ekfac.eigen.items()}
    eigenvalues = corrected_eigenvalues(other, basis, batch_size=batch_size)
    for name, pair in ekfac.factors.items():
        for u, v, what in zip(pair, factors[name], "AS", strict=True):
            within((u - v).norm(), 1e3 * U * u.norm(), what)
        within((ekfac.eigen[name][2] - eigenvalues[name]).norm(), slack, "Λ")
