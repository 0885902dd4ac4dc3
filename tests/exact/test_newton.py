"""Trust-region steps against conjugate gradients written out for one model, and known minima."""

import numpy as np
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st

from refimpl.exact.lbfgs import Minimum
from refimpl.exact.newton import steihaug, trust_region

U = torch.finfo(torch.float64).eps / 2


def one_by_one(g, H, M, radius, inner):
    """Steihaug's step for a single model, every norm computed from its definition."""
    p, r = np.zeros_like(g), g.copy()
    z = np.linalg.solve(M, r)
    d, rz = -z, r @ z
    goal = rz * min(0.01, np.sqrt(rz)) ** 2
    for _ in range(min(inner, len(g))):
        curvature = d @ H @ d
        whole = p + rz / curvature * d
        if curvature <= 0 or whole @ M @ whole >= radius**2:
            # the positive root of |p + tau d|_M = radius
            tau = max(np.roots([d @ M @ d, 2 * p @ M @ d, p @ M @ p - radius**2]).real)
            return p + tau * d
        p, r = whole, r + rz / curvature * (H @ d)
        z = np.linalg.solve(M, r)
        if r @ z <= goal:
            return p
        d, rz = -z + (r @ z) / rz * d, r @ z
    return p


@st.composite
def quadratic_models(draw):
    """Models side by side, some of negative curvature, in the norm of a common M."""
    generator = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    count, size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    root = generator.standard_normal((count, size, size))
    lift = np.array([draw(st.sampled_from([-1.0, 0.0, 0.5, 2.0])) for _ in range(count)])
    H = root @ root.transpose(0, 2, 1) / size + (lift - 0.2)[:, None, None] * np.eye(size)
    M = np.diag(generator.uniform(0.5, 2.0, size))
    g = generator.standard_normal((count, size)) * draw(st.sampled_from([1e-3, 1.0]))
    # Mostly between the first step and the last, where a later step meets the boundary.
    whole = np.abs(np.linalg.solve(H, g[..., None])[..., 0])
    share = np.array(
        [draw(st.sampled_from([0.1, 0.5, 0.7, 0.9, 0.97, 10.0])) for _ in range(count)]
    )
    radius = share * np.sqrt(np.einsum("ki,ij,kj->k", whole, M, whole))
    return g, H, M, radius, draw(st.sampled_from([1, 2, 100]))


def stepped(g, H, M, radius, inner):
    tensors = [torch.from_numpy(np.asarray(a)) for a in (g, H, M, radius)]
    gradient, hessian, norm, radii = tensors

    def product(v, at):
        return torch.einsum("kij,kj->ki", hessian[at], v)

    def precondition(v):
        return torch.linalg.solve(norm, v.T).T

    p, Hp, length = steihaug(gradient, product, precondition, radii, inner)
    return p.numpy(), Hp.numpy(), length.numpy()


@given(quadratic_models())
def test_steps_side_by_side_are_those_one_by_one(models):
    g, H, M, radius, inner = models
    p, Hp, length = stepped(*models)
    for k in range(len(g)):
        truth = one_by_one(g[k], H[k], M, radius[k], inner)
        # A handful of steps on matrices of condition below 1e3, whose roundings CG magnifies; where
        # a step falls on the boundary or not by rounding alone, both answers are the same point.
        scale = np.linalg.norm(truth) + np.linalg.norm(g[k])
        within(np.linalg.norm(p[k] - truth), 1e6 * U * scale, "step")
        within(np.linalg.norm(Hp[k] - H[k] @ p[k]), 1e6 * U * scale * 10, "H p")
        within(abs(length[k] - np.sqrt(p[k] @ M @ p[k])), 1e6 * U * scale, "length")
        within(length[k], radius[k] * (1 + 1e-9), "radius")


def test_a_small_radius_leads_down_the_preconditioned_gradient_to_the_boundary():
    g, M = np.array([[3.0, -1.0]]), np.diag([4.0, 0.25])
    p, _, length = stepped(g, np.eye(2)[None], M, np.array([1e-4]), 10)
    down = np.linalg.solve(M, g[0])
    np.testing.assert_allclose(p[0], -1e-4 * down / np.sqrt(g[0] @ down), rtol=1e-12)
    np.testing.assert_allclose(length, 1e-4, rtol=1e-12)


def test_no_gradient_no_step():
    p, Hp, length = stepped(np.zeros((2, 3)), np.stack([np.eye(3)] * 2), np.eye(3), np.ones(2), 5)
    assert not p.any()
    assert not Hp.any()
    assert not length.any()


def rosenbrock(x, which):
    value = 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2
    steep = x[:, 1] - x[:, 0] ** 2
    gradient = torch.stack([-400 * x[:, 0] * steep - 2 * (1 - x[:, 0]), 200 * steep], dim=1)
    return value, gradient


def rosenbrocks_product(x, which, v):
    a = 1200 * x[:, 0] ** 2 - 400 * x[:, 1] + 2
    b = -400 * x[:, 0]
    return torch.stack([a * v[:, 0] + b * v[:, 1], b * v[:, 0] + 200 * v[:, 1]], dim=1)


def begin(points):
    x = torch.tensor(points, dtype=torch.float64)
    value, gradient = rosenbrock(x, None)
    norm = gradient.norm(dim=1)
    return Minimum(x, value, norm, norm.clone(), torch.zeros(len(x), dtype=torch.int64))


def go_on(start, **options):
    settings = {"noise": 1e-15, "tolerance": 1e-10, "max_steps": 60} | options
    return trust_region(
        rosenbrock, rosenbrocks_product, start, precondition=lambda v: v, **settings
    )


def test_rosenbrocks_valley_is_followed_to_its_end_through_negative_curvature():
    start = begin([[-1.2, 1.0], [2.0, -3.0], [0.0, 4.0]])  # at the last the Hessian is indefinite
    found = go_on(start)
    assert torch.allclose(found.point, torch.ones(3, 2, dtype=torch.float64), atol=1e-8)
    assert bool((found.gradient_norm <= 1e-10 * found.initial_gradient_norm).all())
    assert bool((found.value < start.value).all())
    assert bool(((found.steps > 3) & (found.steps < 45)).all())
    value, gradient = rosenbrock(found.point, None)
    assert torch.equal(found.value, value)
    assert torch.equal(found.gradient_norm, gradient.norm(dim=1))


def test_what_is_done_stays_and_what_is_cut_short_says_so():
    start = begin([[1.0, 1.0], [-1.2, 1.0]])
    initial, steps = torch.ones(2, dtype=torch.float64), start.steps + 7
    done = Minimum(start.point, start.value, start.gradient_norm, initial, steps)
    found = go_on(done, max_steps=2)
    assert torch.equal(found.point[0], start.point[0])
    assert found.steps[0] == 7
    assert 7 <= found.steps[1] <= 9
    assert found.gradient_norm[1] > 1e-10
    assert found.value[1] <= start.value[1]
    assert go_on(begin([[1.0, 1.0]])).steps.tolist() == [0]


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_a_step_never_raises_the_value(steps):
    start = begin([[-1.2, 1.0], [0.0, 4.0], [5.0, -5.0]])
    assert bool((go_on(start, max_steps=steps).value <= start.value).all())
