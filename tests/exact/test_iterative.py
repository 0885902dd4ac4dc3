"""The iterative route: the products of the matrix, solves that meet or flag their tolerance."""

import models
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import ROUNDOFF as U, problems, scale_of, vectors

import refimpl as ri
from refimpl.exact.iterative import conjugate_gradients, gauss_newton_product


@given(problems(tokens=(0, 3)), st.sampled_from([None, 1]))
def test_products_are_those_of_the_definition(problem, batch):
    G = ri.exact.gauss_newton_matrix(problem)
    v = vectors(problem, 2)
    with pytest.MonkeyPatch.context() as patch:
        if batch:
            patch.setattr("refimpl.problem.memory.PRODUCTS", batch)  # one example at a time
        found = ri.exact.GaussNewton(problem, method="iterative").apply(v)
    within((found - v @ G).norm(), 1e3 * U * scale_of(problem) * v.norm())


@given(models.stacks())
def test_products_hold_with_shared_weights(problem):
    G = ri.exact.gauss_newton_matrix(problem)
    v = vectors(problem, 2)
    found = ri.exact.GaussNewton(problem, method="iterative").apply(v)
    within((found - v @ G).norm(), 1e3 * U * scale_of(problem) * v.norm())


@given(
    problems(width=(1, 6), depth=(1, 2)),
    st.sampled_from([1e-3, 0.1, 10.0]),
    st.sampled_from([None, "kfac", "ekfac"]),
)
def test_solves_are_those_of_the_primal_route(problem, damping, name):
    kinds = {None: None, "kfac": ri.fast.KFAC, "ekfac": ri.fast.EKFAC}
    kind = kinds[name]
    inverse = None if kind is None else kind(problem)
    one = ri.exact.GaussNewton(problem, method="primal")
    two = ri.exact.GaussNewton(problem, method="iterative", preconditioner=inverse)
    b = vectors(problem, 3)
    b[1] = 0
    left, right = one.solve(b, damping), two.solve(b, damping)
    assert bool(right.certificate.converged.all())
    bound = left.certificate.forward_error_bound + right.certificate.forward_error_bound
    # Each is within its bound of the solution of its matrix; the matrices differ by roundings.
    slack = bound + 1e3 * U * (1 + scale_of(problem) / damping)
    within((left.value - right.value).norm(dim=1), slack * left.value.norm(dim=1) + U)


def digits_like(seed: int = 0) -> ri.Problem:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (30,), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)


def test_too_few_steps_are_flagged_and_never_returned_as_good():
    problem = digits_like()
    curvature = ri.exact.GaussNewton(problem, method="iterative", max_iterations=1)
    solution = curvature.solve(vectors(problem, 2), 1e-3)
    assert not bool(solution.certificate.converged.any())
    with pytest.raises(ri.NotConverged):
        ri.influence(problem, problem.inputs, problem.targets, curvature=curvature, damping=1e-3)


def test_mixed_precision_reaches_the_residual_of_double():
    problem = digits_like()
    b = vectors(problem, 3)
    curvature = ri.exact.GaussNewton(problem, method="iterative", inner=torch.float32)
    solution = curvature.solve(b, 1e-1)
    assert bool(solution.certificate.converged.all())
    assert solution.value.dtype == torch.float64
    damped = (
        ri.exact.gauss_newton_matrix(problem) + 0.1 * torch.eye(problem.num_parameters).double()
    )
    norm = torch.linalg.matrix_norm(damped, ord=2)
    scale = norm * solution.value.norm(dim=1) + b.norm(dim=1)
    error = (b - solution.value @ damped).norm(dim=1)
    within(error, 4 * solution.certificate.tolerance * scale)
    assert curvature._route._low.dtype == torch.float32


@given(st.integers(2, 12), st.integers(0, 1000))
def test_conjugate_gradients_end_after_as_many_steps_as_there_are_eigenvalues(size, seed):
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    values = torch.tensor([1.0, 3.0]).double()[torch.arange(size) % 2]
    A = Q @ torch.diag(values) @ Q.T
    b = torch.randn(4, size, generator=generator, dtype=torch.float64)
    x, steps = conjugate_gradients(lambda v: v @ A, b, norm=3.0, goal=1e-12, max_iterations=50)
    assert int(steps.max()) <= 2  # the degree of the minimal polynomial
    within((x @ A - b).norm(dim=1), 1e-12 * (3 * x.norm(dim=1) + b.norm(dim=1)) + 30 * U * size)
    # An exact preconditioner needs one.
    inverse = torch.linalg.inv(A)
    options = {"norm": 3.0, "goal": 1e-12, "max_iterations": 50}
    x, steps = conjugate_gradients(
        lambda v: v @ A, b, precondition=lambda v: v @ inverse, **options
    )
    assert int(steps.max()) <= 1


def test_the_norm_comes_from_lanczos_and_counts_of_steps_from_the_last_solve():
    problem = digits_like()
    curvature = ri.exact.Iterative(problem)
    G = ri.exact.gauss_newton_matrix(problem)
    top = float(torch.linalg.eigvalsh(G)[-1])
    assert curvature.spectrum()[1] == pytest.approx(top, rel=1e-10)  # P <= 256: the matrix itself
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 20, generator=generator, dtype=torch.float64)
    model = torch.nn.Linear(20, 20)
    wide = ri.Problem(model, ri.losses.SquaredError(), x, x)
    top = float(torch.linalg.eigvalsh(ri.exact.gauss_newton_matrix(wide))[-1])
    assert ri.exact.Iterative(wide).spectrum()[1] == pytest.approx(top, rel=2e-3)
    curvature.solve(vectors(problem, 1), 1e-2)
    first = curvature.iterations
    curvature.solve(vectors(problem, 1), 1e-2)
    assert 0 < first == curvature.iterations


def test_without_damping_the_iterative_route_says_what_to_do():
    problem = digits_like()
    curvature = ri.exact.GaussNewton(problem, method="iterative")
    with pytest.raises(ValueError, match="singular"):
        curvature.solve(problem.gradients(), 0.0)
    with pytest.raises(ValueError, match="primal"):
        curvature.solve_uncertified(problem.gradients(), 0.0)


def _system() -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix of condition 1e4, and right-hand sides that need from one to many steps."""
    generator = torch.Generator().manual_seed(3)
    Q = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64))[0]
    A = Q @ torch.diag(torch.logspace(0, 4, 30, dtype=torch.float64)) @ Q.T
    noise = torch.randn(2, 30, generator=generator, dtype=torch.float64)
    return A, torch.stack([Q[:, 4], 1e6 * noise[0], noise[1], Q[:, 0] + Q[:, 9], Q[:, 29]])


def test_every_right_hand_side_stops_by_itself_as_soon_as_its_backward_error_is_small():
    A, b = _system()
    options = {"norm": 1e4, "goal": 1e-6}
    x, steps = conjugate_gradients(lambda v: v @ A, b, **options, max_iterations=200)
    assert steps[0] == steps[4] == 1
    assert len(set(steps.tolist())) > 2

    def backward(x, k):
        return float((b[k] - A @ x[k]).norm() / (1e4 * x[k].norm() + b[k].norm()))

    for k, count in enumerate(steps.tolist()):
        _, alone = conjugate_gradients(lambda v: v @ A, b[k : k + 1], **options, max_iterations=200)
        assert abs(int(alone) - count) <= 1  # another shape of the product rounds otherwise
        assert backward(x, k) <= 1.001e-6  # the recurrence's residual stands for the true one
        if count > 1:
            before, _ = conjugate_gradients(lambda v: v @ A, b, **options, max_iterations=count - 1)
            assert backward(before, k) > 0.999e-6


def test_the_inverse_as_a_preconditioner_needs_one_step():
    A, b = _system()
    inverse = torch.linalg.inv(A)
    options = {"norm": 1e4, "goal": 1e-9, "max_iterations": 200}
    _, steps = conjugate_gradients(
        lambda v: v @ A, b, precondition=lambda v: v @ inverse, **options
    )
    assert steps.tolist() == [1] * len(b)


@pytest.mark.parametrize("inner", [None, torch.float32])
def test_a_curvature_as_a_preconditioner_shortens_the_way(inner):
    problem = digits_like()
    b = vectors(problem, 3)
    plain = ri.exact.Iterative(problem, inner=inner)
    plain.solve(b, 1e-4)
    exact = ri.exact.Iterative(
        problem, inner=inner, preconditioner=ri.exact.GaussNewton(problem, method="primal")
    )
    found = exact.solve(b, 1e-4)
    assert bool(found.certificate.converged.all())
    assert 3 * exact.iterations < plain.iterations


def test_steps_add_up_over_the_refinements_of_a_solve_and_begin_anew_with_the_next():
    problem = digits_like()
    curvature = ri.exact.Iterative(problem, max_iterations=1)
    assert curvature.iterations == 0
    for _ in range(2):
        curvature.solve(vectors(problem, 2), 1e-6)
        assert curvature.iterations == 1 + curvature.refinements


def test_a_solve_without_refinement_meets_a_tenth_of_the_tolerance():
    problem = digits_like()
    curvature = ri.exact.Iterative(problem)
    curvature.refinements = 0
    certificate = curvature.solve(vectors(problem, 4), 1e-2).certificate
    within(certificate.backward_error, certificate.tolerance / 10)


def test_mixed_precision_knows_the_tracked_layers_and_right_hand_sides_of_any_size():
    whole = digits_like()
    problem = ri.Problem(whole.model, whole.loss, whole.inputs, whole.targets, layers=["0"])
    b = vectors(problem, 3) * torch.tensor([[1.0], [1e-42], [1e30]], dtype=torch.float64)
    found = ri.exact.Iterative(problem, inner=torch.float32).solve(b, 1e-2)
    assert bool(found.certificate.converged.all())
    exact = ri.exact.GaussNewton(problem, method="primal").solve(b, 1e-2)
    bound = found.certificate.forward_error_bound + exact.certificate.forward_error_bound
    bound = bound + 1e3 * U * (1 + scale_of(problem) / 1e-2)
    within((found.value - exact.value).norm(dim=1) / exact.value.norm(dim=1), bound)


def test_a_direction_without_curvature_is_not_gone_along():
    A = torch.diag(torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64))
    b = torch.tensor([[0.0, 1.0, 0.0], [4.0, 0.0, 0.0]], dtype=torch.float64)
    x, steps = conjugate_gradients(lambda v: v @ A, b, norm=2.0, goal=1e-15, max_iterations=9)
    assert x.tolist() == [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]
    assert steps.tolist() == [0, 1]


def test_products_form_no_matrix_of_pairs_of_classes(monkeypatch):
    model = torch.nn.Linear(2, 3, dtype=torch.float64)
    inputs, labels = torch.randn(5, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    problem = ri.Problem(model, ri.losses.CrossEntropy(), inputs, labels)
    truth = ri.exact.gauss_newton_matrix(problem)
    for root in ("hessian_root", "hessian", "compact_root"):
        monkeypatch.setattr(ri.losses.CrossEntropy, root, None)
    found = gauss_newton_product(problem, torch.eye(9, dtype=torch.float64))
    within((found - truth).norm(), 1e3 * U * scale_of(problem) * 3)  # ||I||_F = 3
