"""A curvature of one's own: one class with apply, solve and dense, taken by scores and by the ladder."""

import pytest
import torch
from evidence import within

import refimpl as ri
from refimpl.rungs.comparisons import compare_rungs
from refimpl.rungs.curvatures import TRUTH
from refimpl.rungs.fits import Fit
from refimpl.rungs.setting import Setting

U = torch.finfo(torch.float64).eps / 2
DAMPINGS = (0.1, 1.0)


class Spiked(ri.Curvature):
    """H = w w^T + 2 I, solved by Sherman and Morrison."""

    def __init__(self, problem: ri.Problem) -> None:
        super().__init__(problem)
        self.w = torch.linspace(-1, 1, problem.num_parameters, dtype=torch.float64)

    def apply(self, vectors):
        return (vectors @ self.w)[..., None] * self.w + 2 * vectors

    def solve(self, vectors, damping):
        shift = 2 + damping
        along = (vectors @ self.w)[..., None] * self.w / (shift + self.w @ self.w)
        return self.certified(vectors, (vectors - along) / shift, damping)

    def dense(self):
        return torch.outer(self.w, self.w) + 2 * torch.eye(len(self.w), dtype=torch.float64)


def problem_of(layers: list[str] | None = None) -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(8) % 2, layers=layers)


def test_a_certificate_is_made_of_its_solutions():
    problem = problem_of()
    own, b = Spiked(problem), problem.gradients()
    solution = own.solve(b, 0.1)
    solution.certificate.require()
    assert own.spectrum() == pytest.approx((2.0, 2 + float(own.w @ own.w)), rel=1e-12)
    damped = own.dense() + 0.1 * torch.eye(problem.num_parameters, dtype=torch.float64)
    within((solution.value @ damped - b).norm(dim=1), 100 * U * (1 + b.norm(dim=1)))
    assert not bool(own.certified(b, 1.001 * solution.value, 0.1).certificate.converged.any())
    with pytest.raises(ValueError, match="damping must be a finite number >= 0"):
        own.solve(b, -1.0)
    shaped = own.solve(b.reshape(2, 4, -1), 0.1)
    assert shaped.certificate.residual.shape == (2, 4)
    assert torch.equal(shaped.value, solution.value.reshape(2, 4, -1))


def test_scores_are_made_with_it():
    problem = problem_of()
    own, (x, y) = Spiked(problem), (problem.inputs, problem.targets)
    scores = ri.influence(problem, x, y, curvature=own, damping=0.1)
    g = problem.gradients()
    inverse = torch.linalg.inv(
        own.dense() + 0.1 * torch.eye(problem.num_parameters, dtype=torch.float64)
    )
    within((scores + g @ inverse @ g.T).abs().max(), 1e3 * U * float(g.norm()) ** 2)
    own_scores = ri.self_influence(problem, curvature=own, damping=0.1)
    within((own_scores - scores.diagonal()).abs().max(), 1e3 * U * float(g.norm()) ** 2)
    tokens = ri.token_influence(problem, x, y, curvature=own, damping=0.1)
    within((tokens.sum(dim=2) - scores).abs().max(), 1e3 * U * float(g.norm()) ** 2)
    with pytest.raises(ValueError, match="of another problem"):
        ri.influence(problem, x, y, curvature=Spiked(problem_of(["2"])), damping=0.1)


def test_it_stands_beside_the_others_on_the_ladder():
    problem = problem_of()
    at = Setting(problem, problem.inputs[:3], problem.targets[:3])
    fits = [
        Fit(TRUTH, ri.exact.GaussNewton(problem), problem),
        Fit("spiked", Spiked(problem), problem),
        Fit("identity", ri.fast.Identity(problem), problem),
    ]
    solved, records = compare_rungs(fits, at, DAMPINGS, known={}, top_k=3, operators=True)
    assert set(solved) == {TRUTH, "spiked", "identity"}
    G, H = ri.exact.gauss_newton_matrix(problem), Spiked(problem).dense()
    figures = [r for r in records["figures"] if r["curvature"] == "spiked"]
    statistics = {"operator_frobenius", "operator_spectral", "ihvp_error"}
    assert {(r["damping"], r["statistic"]) for r in figures} == {
        (damping, statistic) for damping in DAMPINGS for statistic in statistics
    }
    expected = float((H - G).norm() / G.norm())
    frobenius = [r["value"] for r in figures if r["statistic"] == "operator_frobenius"]
    assert frobenius == pytest.approx([expected] * 2, rel=1e-12)
    solves = [r for r in records["solves"] if r["curvature"] == "spiked"]
    assert [r["missed"] for r in solves] == [0, 0]
