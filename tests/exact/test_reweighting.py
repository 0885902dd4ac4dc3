"""Retraining under other weights: stationary points of the objective that was asked for."""

from functools import partial

import pytest
import torch
from evidence import within
from strategies import mlp, randomise

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def _problem(loss: str = "cross_entropy", widths=(4, 5, 3), n=20) -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    model = randomise(mlp(list(widths), bias=True, activation="tanh"), generator)
    x = torch.randn(n, widths[0], generator=generator, dtype=torch.float64)
    if loss == "cross_entropy":
        y = torch.randint(widths[-1], (n,), generator=generator)
        return ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    y = torch.randn(n, widths[-1], generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.SquaredError(), x, y)


def _weights(problem: ri.Problem, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, problem.num_examples, generator=generator, dtype=torch.float64)


def _objective(problem, theta, w, decay, proximity):
    """The docstring's formula, example by example."""
    terms = [w[n] * problem.losses(parameters=theta)[n] for n in range(problem.num_examples)]
    shift = theta - problem.parameters
    penalties = decay / 2 * (theta**2).sum() + proximity / 2 * (shift**2).sum()
    return torch.stack(terms).sum() / problem.num_examples + penalties


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("proximity", [0.0, 0.3])
@pytest.mark.parametrize(("trials", "newton_steps"), [(500, 0), (3, 60)])
def test_answers_are_stationary_points_of_the_weighted_objective_below_the_start(
    loss, proximity, trials, newton_steps
):
    problem = _problem(loss)
    weights = _weights(problem)
    searches = {"trials": trials, "newton_steps": newton_steps, "group": 2}
    found = ri.exact.retrain(problem, weights, weight_decay=0.1, proximity=proximity, **searches)
    assert bool(found.certificate.converged.all())
    for k, w in enumerate(weights):
        values, gradients = [], []
        for point in (problem.parameters, found.parameters[k]):
            theta = point.clone().requires_grad_()
            value = _objective(problem, theta, w, 0.1, proximity)
            gradients.append(torch.autograd.grad(value, theta)[0].norm())
            values.append(float(value.detach()))
        within(gradients[1], 1.01e-6 * gradients[0] + 1e3 * U)
        change = values[1] - values[0]
        assert change < 0
        within(abs(float(found.certificate.objective[k]) - change), 1e3 * U * (1 + abs(values[0])))


def test_a_linear_model_with_squared_error_ends_where_the_normal_equations_say():
    generator = torch.Generator().manual_seed(5)
    model = randomise(torch.nn.Linear(4, 2), generator)
    x = torch.randn(15, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(15, 2, generator=generator, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    weights = _weights(problem, 4)
    found = ri.exact.retrain(problem, weights, weight_decay=0.1, tolerance=1e-10)
    a = torch.cat([x, torch.ones(15, 1, dtype=x.dtype)], dim=1)
    for k, w in enumerate(weights):
        # Of (1/N) sum_n w_n |y - W a|^2 / 2 + 0.05 |W|^2.
        normal = (a * w[:, None]).T @ a / 15 + 0.1 * torch.eye(5, dtype=x.dtype)
        W = torch.linalg.solve(normal, (a * w[:, None]).T @ y / 15).T
        (theta,) = problem.layout.matrices(found.parameters[k]).values()
        first = float(found.certificate.gradient_norm[k])
        # The objective is 0.1-strongly convex.
        within((theta - W).norm(), first / 0.1 + 1e4 * U * W.norm())


def test_it_begins_where_it_is_told_to_and_a_preconditioner_changes_the_path_alone():
    problem = _problem()
    weights, options = _weights(problem), {"weight_decay": 0.05, "proximity": 0.05}
    plain = ri.exact.retrain(problem, weights, **options)
    start = problem.parameters + 0.01 * torch.arange(3.0, dtype=torch.float64)[:, None]
    other = ri.exact.retrain(problem, weights, start=start, **options)
    curved = ri.exact.retrain(
        problem, weights, preconditioner=ri.exact.GaussNewton(problem), **options
    )
    assert float(other.certificate.objective[2]) != float(plain.certificate.objective[2])
    for found in (other, curved):
        assert bool(found.certificate.converged.all())
        # At least 0.05-strongly convex here, near the minimiser.
        bound = (plain.certificate.gradient_norm + found.certificate.gradient_norm) / 0.05
        within((found.parameters - plain.parameters).norm(dim=1), bound)


def test_what_is_cut_short_is_flagged_and_what_does_not_fit_is_refused():
    problem = _problem()
    weights = _weights(problem)
    cut = ri.exact.retrain(problem, weights, weight_decay=0.1, trials=1)
    assert not bool(cut.certificate.converged.any())
    preconditioner = ri.fast.EKFAC(problem)
    for options, message in (
        ({"weights": weights[:, 1:]}, r"weights must have shape \[3, 20\]"),
        ({"weights": weights.float()}, "finite and torch.float64"),
        ({"weights": weights * torch.nan}, "finite and torch.float64"),
        ({"start": problem.parameters.expand(3, -1)[:, 1:]}, r"start must have shape \[3, 43\]"),
        ({"tolerance": 1.0}, r"tolerance must lie in \(0, 1\)"),
        ({"weight_decay": -1.0}, "damping"),
        ({"preconditioner": preconditioner}, "one must be > 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ri.exact.retrain(problem, **{"weights": weights, **options})


def test_what_begins_at_its_minimum_stays_there_and_has_converged():
    problem = _problem()
    nothing = torch.zeros(2, problem.num_examples, dtype=torch.float64)
    found = ri.exact.retrain(problem, nothing, proximity=0.1)  # theta_s is the minimum itself
    assert torch.equal(found.parameters, problem.parameters.expand(2, -1))
    assert found.certificate.relative_gradient_norm.tolist() == [0.0, 0.0]
    assert bool(found.certificate.converged.all())


@pytest.mark.parametrize("examples", [[0, 3], [[0, 1], [2, 3]]])
def test_without_some_examples_the_answer_is_the_fit_of_the_others(examples):
    problem = _problem("squared_error", (4, 2), 12)  # linear: ridge regression in closed form
    train = partial(ri.exact.retrain, weight_decay=0.1, tolerance=1e-9)
    found = ri.exact.leave_one_out(problem, examples, train=train)
    a = torch.cat([problem.inputs, torch.ones(12, 1, dtype=torch.float64)], dim=1)
    for theta, out in zip(found.parameters, torch.tensor(examples).reshape(2, -1), strict=True):
        kept = torch.ones(12, dtype=torch.bool)
        kept[out] = False
        G = a[kept].T @ a[kept] / 12 + 0.1 * torch.eye(5, dtype=torch.float64)
        truth = torch.linalg.solve(G, a[kept].T @ problem.targets[kept] / 12).T.flatten()
        # Strongly convex by 0.1: a point is no farther off than its gradient over that.
        within((theta - truth).norm(), found.certificate.gradient_norm.max() / 0.1 + 1e3 * U)
