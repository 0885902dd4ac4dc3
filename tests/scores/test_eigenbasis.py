"""Scores in a Kronecker eigenbasis against solves that are certified, and when they are taken."""

import models
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import mlp, problems, randomise

import refimpl as ri
from refimpl.problem import memory
from refimpl.rows import contractions
from refimpl.scores import eigenbasis
from refimpl.scores.eigenbasis import rotation_is_cheaper, scores_in, self_influence_in

U = torch.finfo(torch.float64).eps / 2
CURVATURES = {
    "ekfac": ri.fast.EKFAC,
    "kfac": ri.fast.KFAC,
    "factored damping": lambda problem: ri.fast.KFAC(problem, factored_damping=True),
}
DAMPING = 0.1


def perceptron(examples):
    """3-4-2 with biases: layers of 4 x 4 and 2 x 5."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (examples,), generator=generator)
    model = randomise(mlp([3, 4, 2], bias=True, activation="tanh"), generator)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)


def by_solving(problem, name, measurement):
    """The basis, the scores by certified solves, and what both routes' roundings may come to."""
    curvature = CURVATURES[name](problem)
    f = problem.measurement_gradients(measurement=measurement)
    g = problem.gradients()
    solution = curvature.solve(f, DAMPING)
    solution.certificate.require()
    # Either route turns gradients by orthogonal matrices (errors of some u times their norms) and
    # multiplies by D, at most 1 / lambda: that of factored damping is at most 1 / lambda as well,
    # since (w_S + s)(w_A + a) >= s a = lambda.
    scale = f.norm(dim=1, keepdim=True) * g.norm(dim=1) / DAMPING
    wide = problem.num_parameters**0.5 + problem.activations
    basis = curvature.inverse_eigenbasis(DAMPING)
    return basis, -solution.value @ g.T, 10 * wide * U * scale


def both_ways(problem, name, measurement):
    basis, truth, bound = by_solving(problem, name, measurement)
    x, y = problem.inputs, problem.targets
    found = scores_in(problem, basis, x, y, measurement, x, y)
    within((found - truth).abs().max(), bound.max() + U, "scores")
    if measurement == "loss":
        own = self_influence_in(problem, basis)
        within((own - truth.diagonal()).abs().max(), bound.max() + U, "own")


measurements = st.sampled_from(["loss", "log_likelihood"])


@given(problems(), st.sampled_from(sorted(CURVATURES)), measurements)
def test_scores_in_the_eigenbasis_are_those_of_solves(problem, name, measurement):
    both_ways(problem, name, measurement)


@given(models.stacks(), st.sampled_from(sorted(CURVATURES)))
def test_scores_in_the_eigenbasis_are_those_of_solves_with_shared_weights(problem, name):
    both_ways(problem, name, "loss")


def test_pieces_of_examples_change_no_score(monkeypatch):
    problem = perceptron(7)
    basis = ri.fast.EKFAC(problem).inverse_eigenbasis(DAMPING)
    x, y = problem.inputs, problem.targets

    def found():
        return scores_in(problem, basis, x, y, "loss", x, y), self_influence_in(problem, basis)

    whole = found()
    monkeypatch.setattr(
        "refimpl.scores.eigenbasis.bounded_slices",
        lambda *_: [slice(0, 3), slice(3, 6), slice(6, 7)],
    )
    for one, other in zip(whole, found(), strict=True):
        within((one - other).norm(), 100 * U * one.norm())


@pytest.mark.parametrize(("queries", "solved"), [(1, True), (20, False)])
def test_few_queries_of_many_candidates_are_solved_and_many_are_not(monkeypatch, queries, solved):
    problem = perceptron(60)
    x, y = problem.inputs[:queries], problem.targets[:queries]
    # Layers (4, 4) and (2, 5): 32 + 29 operations for each of 61 or 80 gradients, beside
    # 4 (16 x 8 + 10 x 7) = 792 for each query.
    assert rotation_is_cheaper(problem, queries, problem.inputs, 60) is not solved
    curvature, asked = ri.fast.EKFAC(problem), []
    solve = type(curvature).solve
    monkeypatch.setattr(
        type(curvature), "solve", lambda self, *a: asked.append(len(a[0])) or solve(self, *a)
    )
    ri.influence(problem, x, y, curvature=curvature, damping=DAMPING)
    assert asked == ([queries] if solved else [])


class Doubled(ri.fast.EKFAC):
    """A user's own, which solves otherwise."""

    def solve_uncertified(self, vectors, damping):
        return 2 * super().solve_uncertified(vectors, damping)

    def apply_damped(self, x, damping):
        return super().apply_damped(x, damping) / 2


def test_a_subclass_that_solves_otherwise_is_asked_to_solve():
    problem = perceptron(60)
    x, y = problem.inputs[:20], problem.targets[:20]
    one, other = (
        ri.influence(problem, x, y, curvature=kind(problem), damping=DAMPING)
        for kind in (ri.fast.EKFAC, Doubled)
    )
    within((other - 2 * one).norm(), 1e3 * U * one.norm())
    own = [
        ri.self_influence(problem, curvature=k(problem), damping=DAMPING)
        for k in (ri.fast.EKFAC, Doubled)
    ]
    within((own[1] - 2 * own[0]).norm(), 1e3 * U * own[0].norm())


def test_what_a_solve_refuses_is_refused_in_the_eigenbasis_too():
    problem = perceptron(20)
    x, y = problem.inputs, problem.targets
    ekfac = ri.fast.EKFAC(problem)
    options = {"curvature": ekfac, "damping": DAMPING}
    with pytest.raises(ValueError, match="measurement's gradients have NaN"):
        ri.influence(problem, x, y, measurement=lambda f, _: f.sum() * torch.nan, **options)
    lower = ri.Problem(problem.model, problem.loss, x.float(), y, dtype=torch.float32)
    for score in (
        lambda c: ri.influence(problem, x, y, curvature=c, damping=DAMPING),
        lambda c: ri.self_influence(problem, curvature=c, damping=DAMPING),
    ):
        with pytest.raises(ValueError, match=r"the curvature is torch\.float32 on cpu"):
            score(ri.fast.EKFAC(lower))
        eigen = {n: tuple(t.float().double() for t in parts) for n, parts in ekfac.eigen.items()}
        with pytest.raises(ri.NotConverged, match="orthonormal to"):
            score(ri.fast.EKFAC(problem, factors=ekfac.factors, eigen=eigen))
    with pytest.raises(ri.NotConverged, match="no finite inverse"):
        ri.self_influence(problem, curvature=ekfac, damping=1e-320)


def test_queries_and_sums_of_positions_are_turned_in_pieces(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 30, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (6, 30), generator=generator)
    model = randomise(mlp([3, 4, 2], bias=True, activation="tanh"), generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    _, truth, bound = by_solving(
        problem, "ekfac", "loss"
    )  # 30 positions of 4 x 4: the sum is turned
    seen = []
    measurement_rows = eigenbasis.measurement_rows
    monkeypatch.setattr(
        eigenbasis,
        "measurement_rows",
        lambda p, i, *a: seen.append(len(i)) or measurement_rows(p, i, *a),
    )
    monkeypatch.setattr(eigenbasis, "bounded_slices", lambda *_: [slice(0, 4), slice(4, 6)])
    basis = ri.fast.EKFAC(problem).inverse_eigenbasis(DAMPING)
    found = scores_in(problem, basis, x, y, "loss", x, y)
    within((found - truth).abs().max(), bound.max())
    assert seen == [4, 2, 4, 2]


def test_a_singular_curvature_is_refused_without_damping():
    problem = perceptron(2)
    for curvature in (ri.fast.EKFAC(problem), ri.fast.KFAC(problem)):  # rank 2 in 4 x 4
        with pytest.raises(ValueError, match="damping is 0"):
            curvature.inverse_eigenbasis(0.0)
    assert ri.fast.Identity(problem).inverse_eigenbasis(1.0) is None


def test_pieces_hold_what_is_made_of_their_rows(monkeypatch):
    x = torch.zeros(7, 30, 3, dtype=torch.float64)
    model = randomise(mlp([3, 4, 2], bias=True, activation="tanh"), torch.Generator())
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, torch.zeros(7, 30, dtype=torch.long))
    rows = problem.activations + 30 * (4 + 4 + 2 + 5)
    for made, each in (
        (contractions.numbers_formed, 16),
        (lambda b, r: 100 * b.outputs * r, 100 * 4 * 30),
    ):
        monkeypatch.setattr(memory, "CONTRACTIONS", 3 * (rows + each))
        cut = contractions.bounded_slices(problem, x, 7, made)
        assert cut == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert contractions.numbers_formed(problem.layout.blocks[0], 1) == contractions.WIDE + 8
