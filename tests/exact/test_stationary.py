"""The driver of stationary points: each objective in its place, certified by its own gradient."""

from dataclasses import dataclass

import torch
from evidence import within

from refimpl.exact.stationary import certified_minima

U = torch.finfo(torch.float64).eps / 2


@dataclass(frozen=True)
class Bowls:
    """K paraboloids a_k/2 |x - c_k|^2 + h_k, whose lowest points are known."""

    steepness: torch.Tensor
    centres: torch.Tensor
    initial: torch.Tensor
    rounding: float = 0.0

    def value_and_gradient(self, points, which):
        a, shift = self.steepness[which], points - self.centres[which]
        lifted = self.initial[which] - a / 2 * (self.centres[which] ** 2).sum(dim=1)
        return a / 2 * (shift**2).sum(dim=1) + lifted, a[:, None] * shift

    def hessian_product(self, points, which, vectors):
        return self.steepness[which][:, None] * vectors


def _bowls(count: int) -> tuple[Bowls, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    steepness = torch.linspace(0.5, 3.0, count, dtype=torch.float64)
    initial = torch.arange(1.0, count + 1, dtype=torch.float64)
    return Bowls(steepness, centres, initial), torch.zeros_like(centres)


def _minima(bowls: Bowls, start: torch.Tensor, **options):
    def objective_of(place: slice) -> Bowls:
        return Bowls(bowls.steepness[place], bowls.centres[place], bowls.initial[place])

    settings = {"tolerance": 1e-8, "trials": 50, "newton_steps": 5, "group": 2} | options
    return certified_minima(objective_of, start, precondition=lambda v: v, **settings)


def test_every_objective_ends_at_its_own_minimum_whatever_the_groups() -> None:
    bowls, start = _bowls(5)
    for group in (1, 2, 5, 9):
        response = _minima(bowls, start, group=group)
        assert bool(response.certificate.converged.all())
        # |x - c| = |gradient| / a, and the gradient fell to 1e-8 of a |c|.
        distance = (response.parameters - bowls.centres).norm(dim=1)
        within(distance, (1.01e-8 + 4 * U) * bowls.centres.norm(dim=1))


def test_the_certificate_tells_the_change_from_the_start_and_the_gradient_that_is_left() -> None:
    bowls, start = _bowls(4)
    for options in ({"trials": 1, "newton_steps": 0}, {"trials": 0, "newton_steps": 1}, {}):
        response = _minima(bowls, start, **options)
        certificate = response.certificate
        everyone = torch.arange(4)
        value, gradient = bowls.value_and_gradient(response.parameters, everyone)
        first = bowls.value_and_gradient(start, everyone)[1].norm(dim=1)
        size = 4 * U * (bowls.initial + (bowls.steepness * bowls.centres.norm(dim=1) ** 2))
        within((certificate.objective - (value - bowls.initial)).abs(), 4 * size)
        within((certificate.gradient_norm - gradient.norm(dim=1)).abs(), 4 * size)
        ratio = gradient.norm(dim=1) / first
        within((certificate.relative_gradient_norm - ratio).abs(), 4 * size / first)
        assert bool((certificate.objective <= 0).all())


def test_what_quasi_newton_steps_leave_newton_steps_finish() -> None:
    bowls, start = _bowls(3)
    cut = _minima(bowls, start, trials=1, newton_steps=0).certificate
    assert not bool(cut.converged.all())
    done = _minima(bowls, start, trials=1, newton_steps=30).certificate
    assert bool(done.converged.all())
    assert bool((done.iterations >= cut.iterations).all())


def test_an_objective_that_starts_at_its_minimum_stays_there() -> None:
    bowls, _ = _bowls(2)
    response = _minima(bowls, bowls.centres)
    assert torch.equal(response.parameters, bowls.centres)
    assert response.certificate.iterations.tolist() == [0, 0]
    assert response.certificate.relative_gradient_norm.tolist() == [0.0, 0.0]
