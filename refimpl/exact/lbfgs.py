"""Preconditioned L-BFGS for many objectives at once, each with its own line search."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Minimum", "minimise"]

MEMORY = 20  # pairs (s, y) kept per objective
ARMIJO = 1e-4  # share of the predicted decrease that a step must bring

Objective = Callable[
    [Float[Tensor, "K P"], Int[Tensor, " K"]], tuple[Float[Tensor, " K"], Float[Tensor, "K P"]]
]


@dataclass(frozen=True)
class Minimum:
    """Ends of K minimisations: points, values, gradient norms there and at the start, steps."""

    point: Float[Tensor, "K P"]
    value: Float[Tensor, " K"]
    gradient_norm: Float[Tensor, " K"]
    initial_gradient_norm: Float[Tensor, " K"]
    steps: Int[Tensor, " K"]


class _History:
    """The last pairs (s, y) of every objective; an absent pair has rho = 0 and so no effect."""

    def __init__(self, point: Float[Tensor, "K P"]) -> None:
        self.s = point.new_zeros(MEMORY, *point.shape)
        self.y = point.new_zeros(MEMORY, *point.shape)
        self.rho = point.new_zeros(MEMORY, len(point))
        self.oldest = torch.zeros(len(point), dtype=torch.long, device=point.device)
        self.pushed = 0  # no objective has more pairs than this, and its own are the last ones

    def push(self, s: Float[Tensor, "K P"], y: Float[Tensor, "K P"], at: Int[Tensor, " K"]) -> None:
        """Replace the oldest pair of the objectives `at`, where s.y is safely positive."""
        curvature = (s * y).sum(dim=1)
        self.pushed += 1
        good = curvature > 1e-10 * s.norm(dim=1) * y.norm(dim=1)
        s, y, at, curvature = s[good], y[good], at[good], curvature[good]
        place = self.oldest[at]
        for store, new in ((self.s, s), (self.y, y), (self.rho, 1 / curvature)):
            store[place, at] = new
        self.oldest[at] = (place + 1) % MEMORY

    def forget(self, at: Int[Tensor, " K"]) -> None:
        """Drop all pairs of the objectives `at`."""
        self.rho[:, at] = 0.0

    def direction(
        self,
        gradient: Float[Tensor, "K P"],
        at: Int[Tensor, " K"],
        precondition: Callable[[Float[Tensor, "K P"]], Float[Tensor, "K P"]],
    ) -> Float[Tensor, "K P"]:
        """The L-BFGS step, by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4)."""
        newest = torch.arange(-min(self.pushed, MEMORY), 0, device=at.device)
        pairs = (self.oldest[at] + newest[:, None]) % MEMORY  # the last of them the newest
        s, y, rho = self.s[pairs, at], self.y[pairs, at], self.rho[pairs, at]
        q = gradient.clone()
        alpha = torch.zeros_like(rho)
        for i in reversed(range(len(rho))):
            alpha[i] = rho[i] * (s[i] * q).sum(dim=1)
            q -= alpha[i, :, None] * y[i]
        q = precondition(q)
        for i in range(len(rho)):
            beta = rho[i] * (y[i] * q).sum(dim=1)
            q += (alpha[i] - beta)[:, None] * s[i]
        return -q


def minimise(
    objective: Objective,
    start: Float[Tensor, "K P"],
    *,
    precondition: Callable[[Float[Tensor, "K P"]], Float[Tensor, "K P"]],
    noise: float,
    tolerance: float,
    max_trials: int,
) -> Minimum:
    """Minimise K objectives side by side; every round evaluates one trial point of each.

    A trial is accepted when it brings the Armijo share of the predicted decrease (see `accepts`);
    otherwise the step is cut, by the minimiser of the interpolating parabola.

    Args:
        objective: Values [K'] and gradients [K', P] at points [K', P] of the objectives numbered.
        start: Starting points [K, P].
        precondition: An approximate inverse Hessian, symmetric and positive definite.
        noise: Differences of each objective's values that mean nothing.
        tolerance: Stop an objective when its gradient norm falls to this share of the start's.
        max_trials: Evaluations allowed per objective.
    """
    point = start.clone()
    everyone = torch.arange(len(start), device=start.device)
    value, gradient = objective(point, everyone)
    initial = gradient.norm(dim=1)
    target = tolerance * initial
    steps = torch.zeros_like(everyone)
    history = _History(point)
    direction = history.direction(gradient, everyone, precondition)
    size = torch.ones_like(value)
    active = everyone[gradient.norm(dim=1) > target]
    for _ in range(max_trials):
        if len(active) == 0:
            break
        slope = (gradient[active] * direction[active]).sum(dim=1)
        trial = point[active] + size[active, None] * direction[active]
        new_value, new_gradient = objective(trial, active)
        change = new_value - value[active]
        least = ARMIJO * size[active] * slope
        accepted = accepts(change, least, value[active], noise, gradient[active], new_gradient)
        moved = active[accepted]
        history.push(
            trial[accepted] - point[moved], new_gradient[accepted] - gradient[moved], moved
        )
        point[moved], value[moved] = trial[accepted], new_value[accepted]
        gradient[moved] = new_gradient[accepted]
        steps[moved] += 1
        size[moved] = 1.0
        stuck = _shorten(size, active[~accepted], change[~accepted], slope[~accepted])
        history.forget(stuck)
        size[stuck] = 1.0
        done = gradient[active].norm(dim=1) <= target[active]
        turned = torch.cat([moved, stuck])
        turned = turned[gradient[turned].norm(dim=1) > target[turned]]
        if len(turned):
            direction[turned] = history.direction(gradient[turned], turned, precondition)
        active = active[~done]
    return Minimum(point, value, gradient.norm(dim=1), initial, steps)


def accepts(
    change: Float[Tensor, " K"],
    least: Float[Tensor, " K"],
    value: Float[Tensor, " K"],
    noise: float,
    gradient: Float[Tensor, "K P"],
    new_gradient: Float[Tensor, "K P"],
) -> Bool[Tensor, " K"]:
    """Whether a trial is good enough: it brings the least decrease asked for.

    Where two values agree to rounding they say nothing, and a trial is accepted when its gradient is
    the smaller (after the approximate Wolfe test of Hager & Zhang 2005).

    Args:
        change: Change of the value.
        least: The change asked for, negative.
        value: Value before.
        noise: Differences that mean nothing.
        gradient: Gradient before.
        new_gradient: Gradient at the trial.
    """
    floor = noise + 4 * torch.finfo(value.dtype).eps * value.abs()
    calmer = new_gradient.norm(dim=1) < gradient.norm(dim=1)
    return (change <= least) | ((change.abs() <= floor) & calmer)


def _shorten(
    size: Float[Tensor, " K"],
    rejected: Int[Tensor, " R"],
    change: Float[Tensor, " R"],
    slope: Float[Tensor, " R"],
) -> Int[Tensor, " S"]:
    """Cut the steps rejected, in place; returns those that have become useless."""
    old = size[rejected]
    # phi(t) ~ slope t + (change - slope old) (t / old)^2, minimal at the step below
    parabola = -slope * old**2 / (2 * (change - slope * old))
    parabola = torch.where(torch.isfinite(parabola), parabola, old / 10)
    size[rejected] = torch.minimum(torch.maximum(parabola, old / 10), old / 2)
    useless: Bool[Tensor, " R"] = size[rejected] < 1e-6
    return rejected[useless]
