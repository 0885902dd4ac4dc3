"""Mistakes that are made leave the bounds, in the quantity where they belong."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import refimpl as ri
from refimpl.fast import ekfac, kfac
from validation.proved import PROBLEMS, worst
from validation.proved.answers import computed_answers, torch_problem
from validation.proved.comparison import compare, enclosed_truth

NAMES = (
    "tanh, cross_entropy, two hidden layers, bias",
    "softplus, squared_error, one hidden layer, bias",
    "graded inputs, λ = 1e-8",
    "λ = 1e-10",
)
CHOSEN = [p for p in PROBLEMS if p.name in NAMES]

each_problem = pytest.mark.parametrize("problem", CHOSEN, ids=lambda p: p.name)


@cache
def known(problem):
    return enclosed_truth(problem)


@cache
def honest(problem):
    return computed_answers(problem, known(problem).vectors)


def red(problem, given):
    """The quantities outside their bounds."""
    found = worst(compare(problem, known(problem), given))
    return {quantity for quantity, record in found.items() if not record.ratio < 1}


def factors(given, edit_A=lambda A: A, edit_S=lambda S: S):
    return replace(given, factors=[(edit_A(A), edit_S(S)) for A, S in given.factors])


def without_bias(A):
    A = A.copy()
    A[-1, :] = A[:, -1] = 0.0
    return A


def column_major(problem, G):
    """G with every [W | b] flattened column by column."""
    order = np.concatenate(
        [
            place.start + np.arange(matrix.size).reshape(matrix.shape).T.ravel()
            for place, matrix in zip(problem.slices, problem.matrices, strict=True)
        ]
    )
    return G[np.ix_(order, order)]


def scaled(values, factor):
    return {name: factor * value for name, value in values.items()}


FAULTS = {
    "A without 1/N": (lambda p, g: factors(g, edit_A=lambda A: A * p.num_examples), {"A"}),
    "S divided by N - 1": (
        lambda p, g: factors(g, edit_S=lambda S: S * p.num_examples / (p.num_examples - 1)),
        {"S"},
    ),
    "bias column left off": (lambda p, g: factors(g, edit_A=without_bias), {"A"}),
    "covariance centred": (
        lambda p, g: factors(g, edit_A=lambda A: A - np.outer(A[-1], A[-1])),
        {"A"},
    ),
    "G flattened column by column": (
        lambda p, g: replace(g, structured=column_major(p, g.structured)),
        {"GNH, structured"},
    ),
    "G without 1/N": (
        lambda p, g: replace(g, by_definition=g.by_definition * p.num_examples),
        {"GNH by definition"},
    ),
    "Hessian for GNH": (
        lambda p, g: replace(g, by_definition=g.hessian, structured=g.hessian),
        {"GNH by definition", "GNH, structured"},
    ),
    "GNH for Hessian": (lambda p, g: replace(g, hessian=g.by_definition), {"Hessian"}),
    "gradients of the mean loss": (
        lambda p, g: replace(g, gradients=g.gradients / p.num_examples),
        {"gradients"},
    ),
    "Jacobian with rows of another example": (
        lambda p, g: replace(g, jacobian=np.roll(g.jacobian, p.num_outputs, axis=0)),
        {"Jacobian"},
    ),
    "Λ transposed within its entries": (
        lambda p, g: replace(g, eigenvalues=[L[::-1] for L in g.eigenvalues]),
        {"Λ, own basis"},
    ),
    "Λ summed, not averaged": (
        lambda p, g: replace(g, eigenvalues=[L * p.num_examples for L in g.eigenvalues]),
        {"Λ, own basis", "trace of Λ"},
    ),
    "sign of the influence": (
        lambda p, g: replace(g, influences=scaled(g.influences, -1.0)),
        {"GNH influence", "K-FAC influence", "EK-FAC influence, own basis"},
    ),
    "solves in float32": (
        lambda p, g: replace(
            g, solves={n: x.astype(np.float32).astype(float) for n, x in g.solves.items()}
        ),
        {"EK-FAC solve, own basis"},
    ),
    "everything rounded to float32": (
        lambda p, g: replace(
            g,
            outputs=g.outputs.astype(np.float32).astype(float),
            jacobian=g.jacobian.astype(np.float32).astype(float),
            structured=g.structured.astype(np.float32).astype(float),
            hessian=g.hessian.astype(np.float32).astype(float),
        ),
        {"outputs", "Jacobian", "GNH, structured", "Hessian"},
    ),
    "a relative error of 1e-10": (
        lambda p, g: replace(
            g,
            outputs=g.outputs * (1 + 1e-10),
            jacobian=g.jacobian * (1 + 1e-10),
            structured=g.structured * (1 + 1e-10),
            hessian=g.hessian * (1 + 1e-10),
            factors=[(A * (1 + 1e-10), S * (1 + 1e-10)) for A, S in g.factors],
            eigenvalues=[L * (1 + 1e-10) for L in g.eigenvalues],
        ),
        {"outputs", "Jacobian", "GNH, structured", "Hessian", "A", "S", "Λ, own basis"},
    ),
    "NaN in one entry": (
        lambda p, g: replace(g, outputs=np.where(g.outputs == g.outputs.max(), np.nan, g.outputs)),
        {"outputs"},
    ),
    "an infinite solve": (
        lambda p, g: replace(g, solves=scaled(g.solves, np.inf)),
        {"GNH solve", "K-FAC solve", "EK-FAC solve, own basis"},
    ),
}


@each_problem
def test_honest_answers_are_green(problem):
    assert red(problem, honest(problem)) == set()


@each_problem
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_leaves_its_bound(problem, name):
    edit, expected = FAULTS[name]
    assert expected <= red(problem, edit(problem, honest(problem)))


# The following break refimpl itself.


@each_problem
def test_a_damping_added_twice_is_seen(problem, monkeypatch):
    dense, kron, eigen = (
        ri.Dense.solve_uncertified,
        ri.fast.KFAC.solve_uncertified,
        ri.fast.EKFAC.solve_uncertified,
    )
    for owner, name in ((ri.Dense, dense), (ri.fast.KFAC, kron), (ri.fast.EKFAC, eigen)):
        monkeypatch.setattr(owner, "solve_uncertified", lambda s, v, d, f=name: f(s, v, 2 * d))
    for owner in (ri.fast.KFAC, ri.fast.EKFAC):
        basis = owner.kronecker_inverse
        monkeypatch.setattr(owner, "kronecker_inverse", lambda s, d, f=basis: f(s, 2 * d))
    # the certificates would stop it first: they are silenced, since this is about the bounds
    monkeypatch.setattr(ri.Certificate, "require", lambda self: None)
    seen = red(problem, computed_answers(problem, known(problem).vectors))
    assert {"GNH solve", "K-FAC solve", "EK-FAC solve, own basis"} <= seen
    # At 1e-10 an influence by the GNH moves by 4e-7, which is what honest roundings move it by.
    visible = {"K-FAC influence", "EK-FAC influence, own basis"}
    assert visible | ({"GNH influence"} if problem.damping > 1e-8 else set()) <= seen


@each_problem
def test_empirical_labels_under_the_true_fishers_name_are_seen(problem, monkeypatch):
    for module, name in ((kfac, "sweeps_over"), (ekfac, "repeatable_sweeps")):
        honest = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda p, honest=honest, **options: honest(p, **options | {"fisher": "empirical"}),
        )
    seen = red(problem, computed_answers(problem, known(problem).vectors))
    assert {"S", "Λ, own basis", "trace of Λ", "K-FAC solve", "K-FAC influence"} <= seen


@each_problem
def test_a_transposed_eigenbasis_is_seen(problem, monkeypatch):
    honest_squares = ekfac._squares
    monkeypatch.setattr(
        ekfac, "_squares", lambda sweep, name, Q_A, Q_S: honest_squares(sweep, name, Q_A.T, Q_S)
    )
    seen = red(problem, computed_answers(problem, known(problem).vectors))
    assert "Λ, own basis" in seen
    assert {"EK-FAC solve, own basis", "EK-FAC influence, own basis"} <= seen


@each_problem
def test_an_output_hessian_without_its_rank_one_term_is_seen(problem, monkeypatch):
    if problem.loss == "squared_error":  # its Hessian has none: the other loss's test
        return
    monkeypatch.setattr(
        ri.losses.CrossEntropy,
        "unit_root",
        lambda self, f: torch.diag_embed(torch.softmax(f, dim=-1).sqrt())[:, None],
    )
    seen = red(problem, computed_answers(problem, known(problem).vectors))
    assert {"GNH, structured", "S", "trace of Λ", "GNH solve", "GNH influence"} <= seen
    assert "GNH by definition" not in seen  # the definition shares nothing with the root


def test_a_wrong_eigenbasis_is_seen_end_to_end_although_its_own_lambda_is_right():
    # Turning two eigenvectors by 1e-6 keeps Lambda exact in the turned basis; only the end to end
    # comparison knows that it is not the basis of A.
    problem = CHOSEN[0]
    p = torch_problem(problem)
    curvature = ri.fast.EKFAC(p)
    turned = {}
    for name, (Q_A, Q_S, _) in curvature.eigen.items():
        turn = torch.eye(len(Q_A), dtype=torch.float64)
        turn[-1, -2], turn[-2, -1] = 1e-6, -1e-6
        turned[name] = (Q_A @ turn, Q_S)
    values = ekfac.corrected_eigenvalues(p, turned)
    given = replace(
        honest(problem),
        basis=[(Q_A.numpy(), Q_S.numpy()) for Q_A, Q_S in turned.values()],
        eigenvalues=[values[name].numpy() for name in turned],
    )
    seen = red(problem, given)
    assert {"eigenvectors", "Λ, end to end"} <= seen
    assert "Λ, own basis" not in seen
