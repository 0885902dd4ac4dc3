"""Influence scores: scale, the limits of the damping, symmetry, sums over tokens (15, 16, 20, 21)."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, scale_of, vectors
from torch import nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2

CURVATURES = (
    ri.exact.GaussNewton,
    ri.fast.BlockDiagonal,
    ri.fast.EKFAC,
    ri.fast.KFAC,
    ri.fast.Diagonal,
)


class Copied(nn.Module):
    """A model whose outputs stand there several times, as tokens: its loss is so many times the loss."""

    def __init__(self, inner: nn.Module, copies: int) -> None:
        super().__init__()
        self.inner, self.copies = inner, copies

    def forward(self, x):
        return self.inner(x)[:, None].expand(-1, self.copies, *(-1,) * (x.ndim - 1))


@given(problems(ignored=False, examples=(1, 5)), st.integers(2, 3))
def test_15_scaling_loss_and_damping_together_scales_scores(problem, c):
    y = problem.targets[:, None].expand(-1, c, *(-1,) * (problem.targets.ndim - 1))
    scaled = ri.Problem(Copied(problem.model, c), problem.loss, problem.inputs, y)
    damping = 0.1
    kappa = 1 + scale_of(problem) / damping
    size = problem.gradients().norm() ** 2 / damping
    for kind in CURVATURES:
        plain = _scores(problem, kind(problem), damping)
        times = _scores(scaled, kind(scaled), c * damping)
        # EK-FAC in one basis: that of a repeated eigenvalue is anybody's
        if kind is ri.fast.EKFAC:
            moved = {f"inner.{name}": pair for name, pair in kind(problem).factors.items()}
            times = _scores(scaled, kind(scaled, factors=moved), c * damping)
        within((times - c * plain).norm(), 1e3 * U * kappa * c * size + U, kind.__name__)


@given(problems(losses=("cross_entropy",), options=False), st.sampled_from([0.01, 3.0, 100.0]))
def test_15_the_same_by_class_weights_that_are_all_alike(problem, c):
    classes = problem.outputs().shape[-1]
    weighted = ri.losses.CrossEntropy(weight=torch.full((classes,), c, dtype=torch.float64))
    scaled = ri.Problem(problem.model, weighted, problem.inputs, problem.targets)
    kappa = 1 + scale_of(problem) / 0.1
    size = problem.gradients().norm() ** 2 / 0.1
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.Diagonal):
        plain = _scores(problem, kind(problem), 0.1)
        times = _scores(scaled, kind(scaled), 0.1 * c)
        within((times - c * plain).norm(), 1e3 * U * kappa * c * size + U, kind.__name__)


@given(problems(examples=(1, 8)), st.sampled_from([1.0, 1e2, 1e4, 1e8]))
def test_16_large_damping_leaves_the_products_of_gradients(problem, factor):
    g = problem.gradients()
    norms = torch.outer(g.norm(dim=1), g.norm(dim=1))
    for kind in CURVATURES:
        curvature = kind(problem)
        highest = curvature.spectrum(exact=True)[1]
        damping = factor * (highest + U)
        # lambda (H + lambda I)^-1 - I has the eigenvalues -mu / (mu + lambda), at most ||H|| / lambda.
        slack = 1 / factor + 1e3 * U
        error = (damping * _scores(problem, curvature, damping) + g @ g.T).abs()
        within(error, slack * norms + U**2, kind.__name__)


@given(problems(examples=(1, 8)), st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_small_damping_leaves_the_inverse_on_the_range(problem, damping):
    # H (H + lambda I)^-1 H v - H v = -lambda H (H + lambda I)^-1 v, no longer than lambda ||v||.
    (v,) = vectors(problem, 1)
    for kind in CURVATURES:
        curvature = kind(problem)
        image = curvature.apply(v)
        x = curvature.solve(image, damping).value
        kappa = 1 + scale_of(problem) / damping
        rounding = 1e3 * U * kappa * (scale_of(problem) + damping) * v.norm()
        within((curvature.apply(x) - image).norm(), damping * v.norm() + rounding, kind.__name__)


@given(problems(examples=(1, 8)), st.sampled_from([1e-3, 0.1, 10.0]))
def test_20_scores_of_the_training_examples_among_themselves_are_symmetric(problem, damping):
    size = problem.gradients().norm() ** 2 / damping
    kappa = 1 + scale_of(problem) / damping
    for kind in CURVATURES:
        scores = _scores(problem, kind(problem), damping)
        within((scores - scores.T).norm(), 1e3 * U * kappa * size + U, kind.__name__)
        within(scores.diagonal(), 1e3 * U * kappa * size + U, "self-influence above zero")


@given(problems(losses=("cross_entropy",), tokens=(2, 5), options=False))
def test_21_the_influence_of_a_sequence_is_the_sum_over_its_tokens(problem):
    curvature = ri.fast.EKFAC(problem)
    whole = _scores(problem, curvature, 0.1)
    solved = curvature.solve(problem.gradients(), 0.1).value
    total = torch.zeros_like(whole)
    for t in range(problem.targets.shape[1]):
        one = torch.full_like(problem.targets, -100)
        one[:, t] = problem.targets[:, t]
        # influence of the examples (x, only token t's label): the training side of the same scores
        total += -solved @ problem.gradients(problem.inputs, one).T
    size = problem.gradients().norm() ** 2 / 0.1
    within((whole - total).norm(), 1e3 * U * (1 + scale_of(problem) / 0.1) * (size + 1))


@given(problems(examples=(1, 8)), st.floats(-3, 3))
def test_solves_are_linear_in_the_right_hand_side(problem, factor):
    b, c = vectors(problem, 2)
    kappa = 1 + scale_of(problem) / 0.1
    for kind in CURVATURES:
        solve = kind(problem).solve(torch.stack([b, c, b + factor * c]), 0.1)
        x, y, both = solve.value
        size = (b.norm() + abs(factor) * c.norm()) / 0.1
        within((x + factor * y - both).norm(), 1e3 * U * kappa * size, kind.__name__)


def _scores(problem: ri.Problem, curvature: ri.Curvature, damping: float) -> torch.Tensor:
    """Influences of the training examples on their own losses."""
    data = problem.inputs, problem.targets
    return ri.influence(problem, *data, curvature=curvature, damping=damping)
