"""The proximal Bregman response: stationary, below its start, and what influence predicts."""

import pytest
import torch
from evidence import within
from strategies import mlp, randomise

import refimpl as ri
from refimpl.exact.objectives import ProximalBregmanObjective
from refimpl.exact.response import proximal_bregman_objective

U = torch.finfo(torch.float64).eps / 2


def _problem(loss: str = "cross_entropy", seed: int = 0, widths=(4, 5, 3), n=20) -> ri.Problem:
    generator = torch.Generator().manual_seed(seed)
    model = randomise(mlp(list(widths), bias=True, activation="tanh"), generator)
    x = torch.randn(n, widths[0], generator=generator, dtype=torch.float64)
    if loss == "cross_entropy":
        y = torch.randint(widths[-1], (n,), generator=generator)
        return ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    y = torch.randn(n, widths[-1], generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.SquaredError(), x, y)


def pbo_by_definition(problem, theta, m, epsilon, damping):
    """Bae et al. 2022, eq. 9, term by term, the divergence from its definition."""
    f, s = problem.outputs(None, theta), problem.outputs()
    value, at_s = problem.loss.value(f, problem.targets), problem.loss.value(s, problem.targets)
    slope = (problem.loss.gradient(s, problem.targets).reshape(f.shape) * (f - s)).flatten(1).sum(1)
    shift = theta - problem.parameters
    own = value[m] - at_s[m]
    return (value - at_s - slope).mean() + epsilon * own + damping / 2 * shift @ shift


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("epsilon", [0.05, -0.05])
def test_the_objective_and_its_gradient_are_those_of_the_definition(loss, epsilon):
    problem = _problem(loss)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(3, problem.num_parameters, generator=generator, dtype=torch.float64)
    theta = problem.parameters + 0.3 * noise
    examples = torch.tensor([[4], [0], [7]])
    pbo = ProximalBregmanObjective.of(problem, examples, epsilon, 0.01)
    values, gradients = pbo.value_and_gradient(theta - problem.parameters, torch.arange(3))
    for k in range(3):
        point = theta[k].clone().requires_grad_()
        value = pbo_by_definition(problem, point, int(examples[k]), epsilon, 0.01)
        (gradient,) = torch.autograd.grad(value, point)
        # Sums of N terms of the size of the losses, the divergence being a difference of three.
        scale = problem.losses(parameters=theta[k]).abs().max() + problem.losses().max()
        within(abs(values[k] - value), 100 * U * scale)
        within((gradients[k] - gradient).norm(), 1e3 * U * (1 + gradient.norm()))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_products_with_the_objectives_hessian_are_those_of_the_definition(loss):
    problem = _problem(loss, widths=(3, 3, 2), n=8)
    generator = torch.Generator().manual_seed(1)
    shift, v = torch.randn(2, 3, problem.num_parameters, generator=generator, dtype=torch.float64)
    examples = torch.tensor([[4], [0], [7]])
    pbo = ProximalBregmanObjective.of(problem, examples, 0.3, 0.01)
    products = pbo.hessian_product(0.3 * shift, torch.tensor([2, 0, 1]), v)
    for row, k in enumerate([2, 0, 1]):
        theta = problem.parameters + 0.3 * shift[row]
        H = torch.autograd.functional.hessian(
            lambda t, m=int(examples[k]): pbo_by_definition(problem, t, m, 0.3, 0.01), theta
        )
        within((products[row] - H @ v[row]).norm(), 1e3 * U * H.norm() * v[row].norm())


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("epsilon", [0.02, -0.02])
def test_responses_are_stationary_points_below_the_start(loss, epsilon):
    problem = _problem(loss)
    found = ri.exact.bregman_response(problem, range(20), epsilon=epsilon, damping=0.1)
    assert bool(found.certificate.converged.all())
    assert bool((found.certificate.objective <= 0).all())
    for m in range(20):
        theta = found.parameters[m].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(pbo_by_definition(problem, theta, m, epsilon, 0.1), theta)
        start = abs(epsilon) * problem.gradients()[m].norm()
        within(gradient.norm(), 1.01e-8 * start + 1e3 * U)  # the definition's own cancellation


def test_the_certificate_is_the_gradient_of_the_objective_at_the_answer_and_at_the_start():
    problem = _problem()
    found = ri.exact.bregman_response(
        problem, [3, 8], epsilon=0.05, damping=0.1, quasi_newton_trials=2, newton_steps=0
    )
    certificate = found.certificate
    for k, m in enumerate((3, 8)):
        norms = []
        for theta in (found.parameters[k], problem.parameters):
            point = theta.clone().requires_grad_()
            value = pbo_by_definition(problem, point, m, 0.05, 0.1)
            norms.append(float(torch.autograd.grad(value, point)[0].norm()))
        slack = 1e3 * U * (1 + norms[1])  # of the definition's own cancellation
        within(abs(float(certificate.gradient_norm[k]) - norms[0]), slack)
        ratio = norms[0] / norms[1]
        within(abs(float(certificate.relative_gradient_norm[k]) - ratio), 2 * slack / norms[1])
        assert certificate.relative_gradient_norm[k] > 1e-6  # two trials do not finish


def test_no_weight_no_response():
    problem = _problem()
    found = ri.exact.bregman_response(problem, [1, 2], epsilon=0.0, damping=1e-2)
    assert torch.equal(found.parameters, problem.parameters.expand(2, -1))
    assert found.certificate.iterations.tolist() == [0, 0]
    assert bool(found.certificate.converged.all())


def test_the_slope_at_zero_is_the_influence_functions_and_the_error_falls_as_it_must():
    problem = _problem()
    damping, m = 0.05, 3
    gradient = problem.gradients()[m]
    slope = -ri.exact.GaussNewton(problem).solve(gradient, damping).value
    one_sided, central = [], []
    for epsilon in (0.02, 0.01, 0.005, 0.0025):
        plus, minus = (
            ri.exact.bregman_response(
                problem, [m], epsilon=e, damping=damping, tolerance=1e-11
            ).parameters[0]
            - problem.parameters
            for e in (epsilon, -epsilon)
        )
        one_sided.append(float((plus / epsilon - slope).norm()))
        central.append(float(((plus - minus) / (2 * epsilon) - slope).norm()))
    orders = [
        torch.log2(torch.tensor(errors[:-1]) / torch.tensor(errors[1:]))
        for errors in (one_sided, central)
    ]
    # The error falls as epsilon, and as its square for central differences, within 0.2 of the order.
    assert bool((abs(orders[0] - 1) < 0.2).all()), orders
    assert bool((abs(orders[1] - 2) < 0.2).all()), orders


def test_a_linear_model_with_squared_error_responds_as_predicted_for_every_weight():
    generator = torch.Generator().manual_seed(5)
    model = randomise(torch.nn.Linear(4, 2), generator)
    x = torch.randn(15, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(15, 2, generator=generator, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    G = ri.exact.gauss_newton_matrix(problem)
    J = ri.exact.jacobian(problem)
    eye, damping = torch.eye(len(G), dtype=G.dtype), 0.1
    for epsilon in (1 / 15, -1 / 15, 0.5):
        found = ri.exact.bregman_response(
            problem, range(15), epsilon=epsilon, damping=damping, tolerance=1e-12
        )
        for m in range(15):
            # The PBO is quadratic with Hessian G + lambda I + epsilon J_m^T J_m.
            hessian = G + damping * eye + epsilon * J[m].T @ J[m]
            shift = torch.linalg.solve(hessian, -epsilon * problem.gradients()[m])
            kappa = float(torch.linalg.cond(hessian))
            error = (found.parameters[m] - problem.parameters - shift).norm()
            within(error, (2e-12 * kappa + 100 * U * kappa) * shift.norm() + 10 * U)


def test_a_response_that_is_cut_short_is_flagged():
    problem = _problem()
    found = ri.exact.bregman_response(
        problem,
        [0, 1],
        epsilon=1.0,
        damping=1e-4,
        tolerance=1e-12,
        quasi_newton_trials=1,
        newton_steps=1,
    )
    assert not bool(found.certificate.converged.any())
    with pytest.raises(ri.NotConverged, match="2 of 2 responses missed"):
        found.certificate.require()


def test_groups_and_preconditioners_change_the_path_and_not_the_answer():
    problem = _problem()
    whole = ri.exact.bregman_response(problem, range(6), epsilon=0.05, damping=0.1)
    for other in (
        ri.exact.bregman_response(problem, range(6), epsilon=0.05, damping=0.1, group=4),
        ri.exact.bregman_response(
            problem, range(6), epsilon=0.05, damping=0.1, preconditioner=ri.fast.EKFAC(problem)
        ),
    ):
        assert bool(other.certificate.converged.all())
        # Near the minimiser the objective is at least damping / 2-strongly convex here, so two
        # points with gradients g and g' lie within 2 (|g| + |g'|) / damping.
        bound = 2 * (whole.certificate.gradient_norm + other.certificate.gradient_norm) / 0.1
        within((whole.parameters - other.parameters).norm(dim=1), bound)


def test_the_public_objective_is_zero_at_the_trained_parameters_and_the_certified_one_at_the_end():
    problem = _problem()
    start = problem.parameters.expand(2, -1)
    options = {"epsilon": 0.05, "damping": 0.1}
    zero = proximal_bregman_objective(problem, start, [0, 1], **options)
    assert zero.tolist() == [0.0, 0.0]
    found = ri.exact.bregman_response(problem, [0, 1], **options)
    end = proximal_bregman_objective(problem, found.parameters, [0, 1], **options)
    # The same arithmetic in other batches: equal to the roundings of terms of the size of the loss.
    size = float(problem.losses().max()) + float(end.abs().max())
    within((end - found.certificate.objective).abs().max(), 30 * U * size)


def test_a_set_responds_as_its_summed_losses_do():
    problem = _problem()
    options = {"epsilon": -0.05, "damping": 0.1}
    sets = [[4, 0, 7], [2, 2, 9]]  # an example that is there twice counts twice
    found = ri.exact.bregman_response(problem, sets, **options)
    assert bool(found.certificate.converged.all())
    for k, members in enumerate(sets):
        theta = found.parameters[k].clone().requires_grad_()
        f, s = problem.outputs(None, theta), problem.outputs()
        value = problem.loss.bregman(f, s, problem.targets).mean()
        value = value - 0.05 * problem.losses(parameters=theta)[members].sum()
        value = value + 0.05 * ((theta - problem.parameters) ** 2).sum()
        change = value.detach() + 0.05 * problem.losses()[members].sum()
        within(abs(found.certificate.objective[k] - change), 1e3 * U * problem.losses().max())
        (gradient,) = torch.autograd.grad(value, theta)
        start = 0.05 * problem.gradients()[members].sum(dim=0).norm()
        within(gradient.norm(), 1.01e-8 * start + 1e3 * U)


def test_a_set_of_one_is_the_example_and_sets_of_two_sizes_are_refused():
    problem = _problem()
    options = {"epsilon": 0.05, "damping": 0.1}
    one = ri.exact.bregman_response(problem, [3, 8], **options).parameters
    other = ri.exact.bregman_response(problem, [[3], [8]], **options).parameters
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match="must all have one size"):
        ri.exact.bregman_response(problem, [[3], [8, 1]], **options)
