"""The batched minimiser on functions whose minima are known."""

import torch

from refimpl.exact.lbfgs import accepts, minimise


def _quadratics(count: int, size: int):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(count, size, size, generator=generator, dtype=torch.float64)
    H = root @ root.mT + 0.1 * torch.eye(size, dtype=torch.float64)
    b = torch.randn(count, size, generator=generator, dtype=torch.float64)

    def objective(x, which):
        Hx = torch.einsum("kij,kj->ki", H[which], x)
        return (x * (Hx / 2 - b[which])).sum(dim=1), Hx - b[which]

    return objective, H, b


def test_quadratics_are_minimised_side_by_side():
    objective, H, b = _quadratics(7, 12)
    start = torch.zeros_like(b)
    found = minimise(
        objective, start, precondition=lambda v: v, noise=1e-15, tolerance=1e-9, max_trials=500
    )
    assert bool((found.gradient_norm <= 1e-9 * found.initial_gradient_norm).all())
    # ||x - x*|| <= ||gradient|| / smallest eigenvalue
    truth = torch.linalg.solve(H, b)
    bound = found.gradient_norm / torch.linalg.eigvalsh(H)[:, 0]
    assert bool(((found.point - truth).norm(dim=1) <= bound * (1 + 1e-6)).all())


def test_the_exact_inverse_as_preconditioner_needs_one_step():
    objective, H, b = _quadratics(3, 8)
    numbers = iter(range(100))

    def precondition(v):
        next(numbers)
        return torch.linalg.solve(H[: len(v)], v)

    options = {"noise": 0.0, "tolerance": 1e-8, "max_trials": 10}
    found = minimise(objective, torch.zeros_like(b), precondition=precondition, **options)
    assert found.steps.tolist() == [1, 1, 1]


def test_a_rise_is_accepted_only_where_it_is_rounding_and_the_gradient_falls():
    u = 2.0**-53
    change = torch.tensor([-1.0, 3 * u, 3 * u, 20 * u, 1e-6, -1e-6], dtype=torch.float64)
    least, value = torch.full_like(change, -1e-3), torch.ones_like(change)
    gradient = torch.ones(6, 2, dtype=torch.float64)
    new = gradient * torch.tensor([2.0, 0.5, 2.0, 0.5, 0.5, 0.5])[:, None]
    # Enough of a fall; rounding of a value of 1 (at most 8 u), calmer and wilder; more than rounding.
    found = accepts(change, least, value, 0.0, gradient, new)
    assert found.tolist() == [True, True, False, False, False, False]
    assert accepts(change, least, value, 1e-5, gradient, new).tolist()[3:] == [True] * 3


def test_every_step_descends_on_rosenbrocks_valley():
    trace = []

    def rosenbrock(x, which):
        x = x.detach().requires_grad_()
        value = 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2
        (gradient,) = torch.autograd.grad(value.sum(), x)
        trace.append(value.detach())
        return value.detach(), gradient

    start = torch.tensor([[-1.2, 1.0], [2.0, -3.0]], dtype=torch.float64)
    found = minimise(
        rosenbrock, start, precondition=lambda v: v, noise=1e-15, tolerance=1e-10, max_trials=300
    )
    assert torch.allclose(found.point, torch.ones(2, 2, dtype=torch.float64), atol=1e-6)
    assert bool((found.value <= trace[0]).all())


def test_what_does_not_converge_keeps_its_best_point_and_says_so():
    objective, _, b = _quadratics(4, 12)
    options = {"noise": 0.0, "tolerance": 1e-12, "max_trials": 3}
    found = minimise(objective, torch.zeros_like(b), precondition=lambda v: v, **options)
    assert bool((found.gradient_norm > 1e-12 * found.initial_gradient_norm).all())
    assert bool((found.value < 0).all())
    assert bool((found.steps <= 3).all())


def test_a_start_at_the_minimum_stays_there():
    _, _, b = _quadratics(2, 4)

    def flat(x, which):
        return torch.zeros(len(x), dtype=x.dtype), torch.zeros_like(x)

    found = minimise(flat, b, precondition=lambda v: v, noise=0.0, tolerance=1e-8, max_trials=5)
    assert torch.equal(found.point, b)
    assert found.steps.tolist() == [0, 0]
