"""The dual route against the primal one: the same matrix, the same answers, the same certificates."""

import models
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, scale_of, vectors

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


@given(problems(width=(1, 6)), st.sampled_from([1e-6, 1e-3, 0.1, 10.0]))
def test_the_dual_route_has_the_matrix_and_the_solves_of_the_primal_one(problem, damping):
    primal, dual = (ri.exact.GaussNewton(problem, method=m) for m in ("primal", "dual"))
    scale = scale_of(problem)
    within((primal.dense() - dual.dense()).norm(), 1e3 * U * scale, "matrix")
    for block in problem.layout.blocks:
        error = (primal.block(block.name) - dual.block(block.name)).norm()
        within(error, 1e3 * U * scale, "block")
    within(abs(primal.spectrum()[1] - dual.spectrum()[1]), 2e-3 * scale, "largest eigenvalue")
    b = vectors(problem, 3)
    one, two = primal.solve(b, damping), dual.solve(b, damping)
    assert bool(two.certificate.converged.all())
    bound = one.certificate.forward_error_bound + two.certificate.forward_error_bound
    # Each certificate bounds the distance to the solution of its own matrix, and the two matrices
    # differ by roundings, which the condition number magnifies.
    slack = bound + 1e3 * U * (1 + scale / damping)
    within((one.value - two.value).norm(dim=1), slack * one.value.norm(dim=1), "solve")


@given(problems(width=(1, 6), tokens=(0, 3)))
def test_the_kernel_is_that_of_all_pairs_whatever_its_panels(problem):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refimpl.exact.kernel.PANEL", 2)
        route = ri.exact.GaussNewton(problem, method="dual")._route
    U_ = route._times(torch.eye(problem.num_parameters).double()).T  # U itself, column by column
    within((route.kernel - U_ @ U_.T).norm(), 1e3 * U * scale_of(problem))
    assert torch.equal(route.kernel, route.kernel.T)


@pytest.mark.parametrize("name", models.CASES)
def test_the_dual_route_holds_on_hostile_models(name):
    model, shape = models.CASES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, *shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = torch.randn(model.double()(x).shape, generator=generator, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    G = ri.exact.gauss_newton_matrix(problem)
    dual = ri.exact.GaussNewton(problem, method="dual")
    within((dual.dense() - G).norm(), 1e3 * U * scale_of(problem))
    b = vectors(problem, 2)
    solution = dual.solve(b, 1e-3)
    assert bool(solution.certificate.converged.all())
    eye = torch.eye(len(G)).double()
    truth = torch.linalg.solve(G + 1e-3 * eye, b.T).T
    within((solution.value - truth).norm(), 1e3 * U * float(G.norm()) / 1e-3 * truth.norm())


def wide(n: int) -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(200, 90), torch.nn.Tanh(), torch.nn.Linear(90, 2)
    ).double()
    x = torch.randn(n, 200, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (n,), generator=generator)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)


def test_auto_is_dual_where_the_matrix_is_large_and_the_kernel_is_not():
    problem = wide(6)
    assert problem.num_parameters > 2**14
    curvature = ri.exact.GaussNewton(problem)
    assert curvature.method == "dual"
    assert len(curvature._route.kernel) == 6  # N (C - 1)
    assert ri.exact.GaussNewton(models_small()).method == "primal"
    b = problem.gradients()
    assert bool(curvature.solve(b, 1e-3).certificate.converged.all())


def test_pieces_of_the_right_hand_sides_and_of_the_columns_change_nothing(monkeypatch):
    model, shape = models.CASES["convolution, zeros"]
    x = torch.randn(4, *shape, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, torch.randn(4, 3).double())
    b = vectors(problem, 5)
    whole = ri.exact.GaussNewton(problem, method="dual")
    monkeypatch.setattr("refimpl.problem.memory.KERNEL", 1)
    cut = ri.exact.GaussNewton(problem, method="dual")
    scale = scale_of(problem)
    within((whole._route.kernel - cut._route.kernel).norm(), 1e3 * U * scale)
    within((whole.apply(b) - cut.apply(b)).norm(), 1e3 * U * scale * b.norm())


@pytest.mark.parametrize("name", ["convolution, zeros", "tied modules"])
def test_passes_of_few_examples_and_directions_change_nothing(monkeypatch, name):
    model, shape = models.CASES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = torch.zeros_like(model.double()(x))
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    whole = ri.exact.GaussNewton(problem, method="dual")
    monkeypatch.setattr(
        "refimpl.problem.memory.LAYER_ROWS", 1
    )  # one example and one direction at a time
    apart = ri.exact.GaussNewton(problem, method="dual")
    error = (whole.dense() - apart.dense()).norm()
    within(error, 1e3 * U * scale_of(problem))


def test_without_damping_the_dual_route_says_what_to_do():
    problem = models_small()
    dual = ri.exact.GaussNewton(problem, method="dual")
    with pytest.raises(ValueError, match="singular"):
        dual.solve(problem.gradients(), 0.0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    full = ri.Problem(torch.nn.Linear(2, 1), ri.losses.SquaredError(), x, x[:, :1])
    low, high = ri.exact.GaussNewton(full, method="dual").spectrum(exact=True)
    truth = torch.linalg.eigvalsh(ri.exact.gauss_newton_matrix(full))
    assert (low, high) == pytest.approx((float(truth[0]), float(truth[-1])), rel=1e-10)
    with pytest.raises(ValueError, match="primal"):
        ri.exact.GaussNewton(full, method="dual").solve(full.gradients(), 0.0)


def models_small() -> ri.Problem:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (3,), generator=generator)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)
