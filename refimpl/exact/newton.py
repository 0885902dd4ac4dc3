"""Trust-region Newton for many objectives at once, for those that quasi-Newton steps do not finish."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from refimpl.exact.lbfgs import Minimum, Objective, accepts

__all__ = ["trust_region"]

Operator = Callable[[Float[Tensor, "k P"]], Float[Tensor, "k P"]]
# Hessian-vector products at points [K', P] of the objectives numbered [K'] with vectors [K', P].
HessianProduct = Callable[
    [Float[Tensor, "k P"], Int[Tensor, " k"], Float[Tensor, "k P"]], Float[Tensor, "k P"]
]


def trust_region(
    objective: Objective,
    hessian_product: HessianProduct,
    start: Minimum,
    *,
    precondition: Operator,
    noise: float,
    tolerance: float,
    max_steps: int,
    max_inner: int = 100,
) -> Minimum:
    """Continue minimisations until their gradients are small, by truncated Newton steps.

    Each step minimises the quadratic model within a radius, measured in the norm of the
    preconditioner's inverse, by conjugate gradients that stop at negative curvature (Steihaug 1983;
    Conn, Gould & Toint 2000, algorithms 6.1.1 and 7.5.1).

    Args:
        objective: Values and gradients, as in `minimise`.
        hessian_product: Hessian times vector at a point.
        start: Points to go on from; objectives that are done stay as they are.
        precondition: An approximate inverse Hessian, symmetric and positive definite.
        noise: Differences of the values that mean nothing.
        tolerance: Stop an objective when its gradient norm falls to this share of the start's.
        max_steps: Newton steps, taken or refused, per objective.
        max_inner: Conjugate-gradient steps per Newton step.
    """
    point, value, steps = start.point.clone(), start.value.clone(), start.steps.clone()
    target = tolerance * start.initial_gradient_norm
    active = torch.nonzero(start.gradient_norm > target)[:, 0]
    norm = start.gradient_norm.clone()
    if len(active) == 0:
        return start
    gradient = torch.zeros_like(point)
    gradient[active] = objective(point[active], active)[1]
    radius = torch.zeros_like(value)
    radius[active] = (gradient[active] * precondition(gradient[active])).sum(dim=1).sqrt()
    for _ in range(max_steps):
        if len(active) == 0:
            break
        here, g = point[active], gradient[active]

        def product(v: Float[Tensor, "k P"], at: Int[Tensor, " k"]) -> Float[Tensor, "k P"]:
            return hessian_product(here[at], active[at], v)  # noqa: B023 - used in this round only

        p, Hp, length = steihaug(g, product, precondition, radius[active], max_inner)
        trial = here + p
        new_value, new_gradient = objective(trial, active)
        predicted = (p * (g + Hp / 2)).sum(dim=1)  # negative
        change = new_value - value[active]
        ratio = change / predicted
        accepted = accepts(change, 1e-4 * predicted, value[active], noise, g, new_gradient)
        grow = (ratio > 0.75) & (length > 0.99 * radius[active])
        shrink = ~accepted | (ratio < 0.25) & (change.abs() > noise)
        radius[active] = torch.where(
            shrink, length / 4, torch.where(grow, 2 * radius[active], radius[active])
        )
        moved = active[accepted]
        point[moved], value[moved] = trial[accepted], new_value[accepted]
        gradient[moved] = new_gradient[accepted]
        norm[moved] = gradient[moved].norm(dim=1)
        steps[moved] += 1
        active = active[norm[active] > target[active]]
    return Minimum(point, value, norm, start.initial_gradient_norm, steps)


def steihaug(
    gradient: Float[Tensor, "k P"],
    product: Callable[[Float[Tensor, "k P"], Int[Tensor, " k"]], Float[Tensor, "k P"]],
    precondition: Operator,
    radius: Float[Tensor, " k"],
    max_inner: int,
) -> tuple[Float[Tensor, "k P"], Float[Tensor, "k P"], Float[Tensor, " k"]]:
    """Minimise g.p + p.H p / 2 over the ball, for k models side by side.

    Args:
        gradient: g [k, P].
        product: H v for the models numbered.
        precondition: M^-1 v; the ball is {p: p.M p <= radius^2}.
        radius: Its radii [k].
        max_inner: Conjugate-gradient steps.

    Returns:
        Steps p [k, P], H p [k, P], and the lengths of p in the norm of M [k].
    """
    p, Hp, r = torch.zeros_like(gradient), torch.zeros_like(gradient), gradient.clone()
    z = precondition(r)
    d = -z
    rz = (r * z).sum(dim=1)
    pMp, pMd, dMd = torch.zeros_like(rz), torch.zeros_like(rz), rz.clone()
    # An inexact solve is enough far from the solution; near it, the rate is superlinear.
    goal = rz * torch.minimum(torch.full_like(rz, 0.01), rz.sqrt()) ** 2
    live = torch.nonzero(rz > 0)[:, 0]
    for _ in range(min(max_inner, gradient.shape[1])):
        if len(live) == 0:
            break
        Hd = product(d[live], live)
        curvature = (d[live] * Hd).sum(dim=1)
        alpha = rz[live] / curvature
        beyond = pMp[live] + 2 * alpha * pMd[live] + alpha**2 * dMd[live]
        outside: Bool[Tensor, " l"] = (curvature <= 0) | (beyond >= radius[live] ** 2)
        # To the boundary: the positive root of |p + tau d|_M = radius.
        room = radius[live] ** 2 - pMp[live]
        root = (pMd[live] ** 2 + dMd[live] * room.clamp(min=0)).sqrt()
        tau = (root - pMd[live]) / dMd[live]
        step = torch.where(outside, tau, alpha)
        p[live] += step[:, None] * d[live]
        Hp[live] += step[:, None] * Hd
        pMp[live] += 2 * step * pMd[live] + step**2 * dMd[live]
        r[live] += step[:, None] * Hd
        inside = live[~outside]
        if len(inside) == 0:
            break
        z = precondition(r[inside])
        new = (r[inside] * z).sum(dim=1)
        beta = new / rz[inside]
        step_inside = step[~outside]
        pMd[inside] = beta * (pMd[inside] + step_inside * dMd[inside])
        dMd[inside] = new + beta**2 * dMd[inside]
        d[inside] = beta[:, None] * d[inside] - z
        rz[inside] = new
        live = inside[new > goal[inside]]
    return p, Hp, pMp.clamp(min=0).sqrt()
