"""Influence against its formula written out, its symmetries, and its limits."""

import sys

import models
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import problems, vectors

import refimpl as ri
from refimpl.problem import memory
from refimpl.rows import contractions

U = torch.finfo(torch.float64).eps / 2


@given(problems(), st.sampled_from(["loss", "log_likelihood"]))
def test_scores_are_the_formula(problem, measurement):
    damping = 0.1
    curvature = ri.exact.GaussNewton(problem)
    scores = ri.influence(
        problem,
        problem.inputs,
        problem.targets,
        curvature=curvature,
        damping=damping,
        measurement=measurement,
    )
    theta = problem.parameters.clone().requires_grad_()

    def rows(values):
        return torch.stack([torch.autograd.grad(v, theta, retain_graph=True)[0] for v in values])

    f = rows(problem.measure(measurement=measurement, parameters=theta))
    losses = rows(problem.losses(parameters=theta))
    damped = curvature.dense() + damping * torch.eye(len(theta)).double()
    truth = -f @ torch.linalg.solve(damped, losses.T)
    kappa = torch.linalg.cond(damped)
    scale = f.norm(dim=1, keepdim=True) * losses.norm(dim=1) / damping
    assert bool(((scores - truth).abs() <= 100 * U * kappa * scale + U).all())


def both_ways(problem: ri.Problem) -> None:
    """Gradients, and their products with vectors, from layers' rows and by torch.func.grad."""
    for measurement in ("loss", "log_likelihood", lambda f, y: (f**2).sum()):
        truth = problem.measurement_gradients(measurement=measurement)
        rows = contractions.gradients(problem, problem.inputs, problem.targets, measurement)
        # Sums over positions of products of some factors a layer: a few roundings each.
        scale = truth.norm() + problem.gradients().norm()
        within((rows - truth).norm(), 1e3 * U * scale + U, "gradients")
    v = vectors(problem, 3)
    g = problem.gradients()
    for wide in (1, 5, contractions.WIDE):  # one matrix at a time, some, and all
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contractions, "WIDE", wide)
            found = contractions.gradient_products(problem, v, problem.inputs, problem.targets)
        within((found - v @ g.T).norm(), 1e3 * U * v.norm() * g.norm() + U, "products")


@given(problems())
def test_gradients_from_rows_are_those_of_autograd(problem):
    both_ways(problem)


@given(models.stacks())
def test_gradients_from_rows_are_those_of_autograd_with_shared_weights(problem):
    both_ways(problem)


@pytest.mark.parametrize("measurement", ["loss", lambda f, y: (f - 2 * y).sum()])
def test_a_model_that_its_layers_do_not_describe_is_scored_by_autograd(monkeypatch, measurement):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    problem = ri.Problem(models.Functional(), ri.losses.SquaredError(), x, x)
    f, g = problem.measurement_gradients(x, x, measurement), problem.gradients()
    monkeypatch.setattr(ri.Problem, "chunk", lambda self, *_: 3)  # four candidates in two parts
    scores = ri.influence(
        problem, x, x, curvature=ri.fast.Identity(problem), damping=1.0, measurement=measurement
    )
    within((scores + f @ g.T / 2).norm(), 100 * U * f.norm() * g.norm())


@given(problems(), st.sampled_from([ri.exact.GaussNewton, ri.fast.EKFAC]))
def test_self_influence_is_the_diagonal_and_never_positive(problem, kind):
    curvature = kind(problem)
    scores = ri.influence(
        problem, problem.inputs, problem.targets, curvature=curvature, damping=0.1
    )
    own = ri.self_influence(problem, curvature=curvature, damping=0.1)
    scale = problem.gradients().norm(dim=1) ** 2 / 0.1
    kappa = 1 + curvature.spectrum()[1] / 0.1
    assert bool((own <= 0).all())
    assert bool(((scores.diagonal() - own).abs() <= 100 * U * kappa * scale + U).all())
    assert bool(((scores - scores.T).abs() <= 100 * U * kappa * scale.max() + U).all())


@given(problems(examples=(3, 8)), st.permutations(range(3)))
def test_candidates_choose_columns(problem, chosen):
    curvature = ri.fast.EKFAC(problem)
    query = problem.inputs[:2], problem.targets[:2]
    whole = ri.influence(problem, *query, curvature=curvature, damping=0.1)
    some = ri.influence(
        problem, *query, curvature=curvature, damping=0.1, candidates=torch.tensor(chosen)
    )
    scale = whole.abs().max() + U
    assert (some - whole[:, chosen]).abs().max() <= 1e3 * U * scale


def test_measurements_of_a_known_case():
    model = torch.nn.Linear(2, 3, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    x, y = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([2])
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    f = torch.tensor([1.0, 2.0, 3.0]).double()
    assert problem.measure(measurement="logit").item() == 3.0
    log_p = float(f[2] - torch.logsumexp(f, 0))
    assert problem.measure(measurement="log_likelihood").item() == pytest.approx(log_p, rel=1e-15)
    assert problem.measure(measurement="loss").item() == pytest.approx(-log_p, rel=1e-15)
    margin = float(f[2] - torch.logsumexp(f[:2], 0))
    assert problem.measure(measurement="margin").item() == pytest.approx(margin, rel=1e-15)
    assert problem.measure(measurement=lambda out, target: out[target] ** 2).item() == 9.0


def test_candidates_out_of_range_are_refused():
    model = torch.nn.Linear(2, 2)
    problem = ri.Problem(model, ri.losses.SquaredError(), torch.ones(3, 2), torch.zeros(3, 2))
    for bad, message in ((torch.tensor([3]), "from 3 to 3"), (torch.tensor([]).long(), "empty")):
        with pytest.raises(ValueError, match=message):
            ri.influence(
                problem,
                torch.ones(1, 2),
                torch.zeros(1, 2),
                curvature=ri.fast.Identity(problem),
                damping=1.0,
                candidates=bad,
            )


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", [ri.exact.GaussNewton, ri.fast.KFAC])
def test_pieces_of_examples_and_of_queries_change_nothing(monkeypatch, size, kind):
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    x = torch.randn(5, 4, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (5, 4), generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    options = {"curvature": kind(problem), "damping": 0.1}
    routes = (
        lambda: ri.influence(problem, x[:3], y[:3], **options),
        lambda: ri.token_influence(problem, x[:3], y[:3], **options),
        lambda: ri.self_influence(problem, **options),
    )
    whole = [route() for route in routes]
    assert [w.shape for w in whole] == [(3, 5), (3, 5, 4), (5,)]
    monkeypatch.setattr(ri.Problem, "chunk", lambda self, *_: size)
    monkeypatch.setattr(memory, "SOLVED_QUERIES", size * problem.num_parameters)
    for name in ("refimpl.scores.eigenbasis", "refimpl.rows.contractions"):
        monkeypatch.setattr(
            sys.modules[name], "bounded_slices", lambda _, __, n, *___: _cut(n, size)
        )
    for before, route in zip(whole, routes, strict=True):
        # The same sums in other groups of rows: some roundings of P products each.
        assert (route() - before).abs().max() <= 1e3 * U * before.abs().max()


def _cut(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@pytest.mark.parametrize("bad", [torch.tensor([0.0]), torch.tensor([True]), torch.tensor([[0]])])
def test_candidates_of_another_kind_are_refused(bad):
    problem = ri.Problem(
        torch.nn.Linear(2, 2), ri.losses.SquaredError(), torch.ones(3, 2), torch.zeros(3, 2)
    )
    curvature = ri.fast.Identity(problem)
    with pytest.raises((TypeError, ValueError), match="candidates"):
        ri.influence(
            problem,
            problem.inputs,
            problem.targets,
            curvature=curvature,
            damping=1.0,
            candidates=bad,
        )


def test_a_curvature_of_other_layers_is_refused():
    x, y = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)

    def two(*widths):
        model = torch.nn.Sequential(
            torch.nn.Linear(2, widths[0], bias=False), torch.nn.Linear(widths[0], 3, bias=False)
        )
        return ri.Problem(model, ri.losses.SquaredError(), x, y)

    problem = ri.Problem(torch.nn.Linear(2, 3), ri.losses.SquaredError(), x, y)
    for other in (two(4), ri.Problem(torch.nn.Linear(2, 3, bias=False), problem.loss, x, y)):
        curvature = ri.fast.Identity(other)
        for call in (ri.influence, ri.token_influence):
            with pytest.raises(ValueError, match="of another problem"):
                call(problem, x, y, curvature=curvature, damping=1.0)
        with pytest.raises(ValueError, match="of another problem"):
            ri.self_influence(problem, curvature=curvature, damping=1.0)
