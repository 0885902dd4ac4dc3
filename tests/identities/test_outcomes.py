"""The proximal Bregman response and what influence says of it, over random shapes (18 and 19)."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import SMOOTH, problems, scale_of
from torch.autograd.functional import hessian

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def objective(problem: ri.Problem, m: int, epsilon: float, damping: float):
    """theta -> PBO(theta; epsilon, m) less its value at theta_s (Bae et al. 2022, eq. 9), by its terms."""
    s, y = problem.outputs(), problem.targets
    slope = problem.loss.gradient(s, y).reshape(s.shape)
    start = problem.loss.value(s, y)

    def value(theta):
        f = problem.outputs(None, theta)
        divergence = problem.loss.value(f, y) - start - (slope * (f - s)).flatten(1).sum(dim=1)
        own = problem.loss.value(f, y)[m] - start[m]
        shift = theta - problem.parameters
        return divergence.mean() + epsilon * own + damping / 2 * shift @ shift

    return value


SMALL = {
    "activations": SMOOTH,
    "width": (1, 4),
    "depth": (1, 3),
    "examples": (1, 6),
    "classes": (1, 3),
    "tokens": (0, 2),
}
LINEAR = problems(
    depth=(1, 1),
    losses=("squared_error",),
    tokens=(0, 3),
    width=(1, 5),
    classes=(1, 3),
    examples=(1, 6),
)
WEIGHTS = st.sampled_from(["+1/N", "-1/N", 0.01, 0.5, 2.0])


@given(problems(**SMALL), st.sampled_from([1e-3, 0.1, 10.0]))
def test_18_the_objective_has_the_derivatives_of_which_the_influence_is_made(problem, damping):
    # By the implicit function theorem d theta / d epsilon = -(G + lambda I)^-1 grad l_m at epsilon = 0
    # is: no gradient there, the Hessian G + lambda I, and grad l_m as what epsilon adds to the gradient.
    m = problem.num_examples - 1
    theta = problem.parameters.clone().requires_grad_()
    slopes = [
        torch.autograd.grad(objective(problem, m, epsilon, damping)(theta), theta)[0]
        for epsilon in (0.0, 1.0)
    ]
    g = problem.gradients()
    within(slopes[0].norm(), 1e3 * U * (g.norm() + scale_of(problem) ** 0.5), "gradient")
    within((slopes[1] - slopes[0] - g[m]).norm(), 1e3 * U * (g.norm() + 1), "mixed derivative")
    H = hessian(objective(problem, m, 0.0, damping), problem.parameters)
    truth = ri.exact.GaussNewton(problem).dense()
    truth.diagonal().add_(damping)
    # The terms of the loss that the divergence takes away again are those of the full Hessian.
    size = scale_of(problem) + damping + ri.exact.hessian(problem).norm() + g.norm()
    within((H - truth).norm(), 1e3 * U * size, "Hessian")
    none = ri.exact.bregman_response(problem, [m], epsilon=0.0, damping=damping)
    # What rounding leaves of a gradient of zero is met where lambda theta alone cancels it.
    left = 1e3 * U * (g.norm() + scale_of(problem) ** 0.5 + damping * problem.parameters.norm())
    within(
        (none.parameters[0] - problem.parameters).norm(), left / damping, "no weight, no response"
    )


@given(problems(**SMALL))
def test_18_the_error_of_the_prediction_falls_with_epsilon_and_that_of_central_differences_faster(
    problem,
):
    m = problem.num_examples - 1
    damping = scale_of(problem) + 0.1
    g = problem.gradients()[m]
    slope = -ri.exact.GaussNewton(problem).solve(g, damping).value
    tolerance = 1e-10

    def moved(epsilon):
        found = ri.exact.bregman_response(
            problem, [m], epsilon=epsilon, damping=damping, tolerance=tolerance
        )
        found.certificate.require()
        return (found.parameters[0] - problem.parameters) / epsilon

    one, central = [], []
    for epsilon in (0.02, 0.01):
        plus, minus = moved(epsilon), moved(-epsilon)
        one.append(float((plus - slope).norm()))
        central.append(float(((plus + minus) / 2 - slope).norm()))
    # What the gradient left over moves a strongly convex objective's minimiser, over epsilon.
    noise = 4 * tolerance * float(g.norm()) / damping + 1e3 * U * float(slope.norm()) / 0.01
    # theta(e) / e = t' + e t'' / 2 + e^2 t''' / 6 + ...: halving e halves the first term and quarters
    # the second, which the central differences have alone; the terms after it are 1 % of it here.
    within(one[1], 0.5 * one[0] + 0.26 * central[0] + noise, "first order")
    within(central[1], 0.26 * central[0] + 0.01 * one[0] + noise, "second order")


@given(LINEAR, st.sampled_from([0.03, 0.3, 3.0]), WEIGHTS)
def test_19_a_linear_model_responds_as_predicted_for_every_weight(problem, damping, epsilon):
    n = problem.num_examples
    if isinstance(epsilon, str):
        epsilon = float(f"{epsilon[0]}1") / n
    found = ri.exact.bregman_response(
        problem, range(n), epsilon=epsilon, damping=damping, tolerance=1e-12
    )
    curvature = ri.exact.GaussNewton(problem)
    J, residual = ri.exact.jacobian(problem), problem.outputs() - problem.targets
    for m in range(n):
        # Sherman-Morrison-Woodbury from the influence solves: the PBO is a quadratic with the Hessian
        # G + lambda I + e J^T J, so theta(e) - theta_s = -e X (I + e J X)^-1 r with
        # X = (G + lambda I)^-1 J^T; the first-order prediction is -e X r.
        X = curvature.solve(J[m], damping).value.T
        inner = torch.eye(len(J[m])).double() + epsilon * J[m] @ X
        shift = -epsilon * X @ torch.linalg.solve(inner, residual[m].flatten())
        # Removal leaves lambda I at the least, for J^T J / N is a part of G.
        least = damping if epsilon >= -1 / n - U else float("nan")
        kappa = (scale_of(problem) * (1 + n * abs(epsilon)) + damping) / least
        start = abs(epsilon) * problem.gradients()[m].norm()
        within(
            (found.parameters[m] - problem.parameters - shift).norm(),
            1e-12 * start / least + 1e3 * U * kappa**2 * (shift.norm() + start / damping),
        )
