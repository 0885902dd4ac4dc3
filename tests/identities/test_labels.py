"""The Fisher and its factors as expectations over labels, by enumerating them (9 and 29).

A softmax and a logit have finitely many labels. The normal labels of a squared error are replaced by
the nodes f +- 1 of the two-point Gauss-Hermite rule, which integrates products of two scores exactly.
"""

import itertools
from collections.abc import Iterator

import torch
from evidence import within
from hypothesis import given
from strategies import problems, scale_of
from torch import Tensor
from torch.nn import functional as F

import refimpl as ri
from refimpl.fast.ekfac import corrected_eigenvalues
from refimpl.fast.kfac import kronecker_factors
from refimpl.rows import hooks
from refimpl.rows.sweeps import sweeps_over

U = torch.finfo(torch.float64).eps / 2

# At most 3 positions of 3 classes, or 3 outputs: 27 labellings, each a fit of its own.
SMALL = {"width": (1, 4), "depth": (1, 3), "ignored": False}
FEW = problems(tokens=(0, 2), examples=(1, 1), classes=(1, 3), **SMALL)
DISCRETE = ("cross_entropy", "binary")
ONE = problems(tokens=(0, 0), examples=(1, 3), classes=(1, 2), losses=DISCRETE, **SMALL)


def plain(problem: ri.Problem) -> ri.Problem:
    """The problem with the loss's own likelihood: no weights, no smoothing."""
    return ri.Problem(problem.model, type(problem.loss)(), problem.inputs, problem.targets)


def labellings(problem: ri.Problem) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Every labelling of all examples: targets, draws that give just these, and their probability."""
    f = problem.outputs()
    if isinstance(problem.loss, ri.losses.CrossEntropy):
        p = F.softmax(f, dim=-1)
        ends = p.cumsum(dim=-1)
        for labels in itertools.product(range(f.shape[-1]), repeat=p[..., 0].numel()):
            y = torch.tensor(labels).reshape(f.shape[:-1])
            own = F.one_hot(y, f.shape[-1]).double()
            middle = ((ends - p / 2) * own).sum(dim=-1)  # of the label's share of [0, 1]
            yield y, middle.reshape(len(f), 1, -1), float((p * own).sum(dim=-1).prod())
        return
    for bits in itertools.product((0.0, 1.0), repeat=f.numel()):
        y = torch.tensor(bits).double().reshape(f.shape)
        if isinstance(problem.loss, ri.losses.BinaryCrossEntropy):
            p = torch.sigmoid(f)
            middle = torch.where(y == 1, p / 2, (1 + p) / 2)
            yield y, middle.reshape(len(f), 1, -1), float(torch.where(y == 1, p, 1 - p).prod())
        else:
            node = 2 * y - 1
            yield f + node, node.reshape(len(f), 1, -1, f.shape[-1]), 0.5 ** f.numel()


@given(FEW | ONE)
def test_9_the_gnh_is_the_fisher(problem):
    problem = plain(problem)
    fisher = torch.zeros(problem.num_parameters, problem.num_parameters).double()
    for y, _, probability in labellings(problem):
        score = problem.gradients(problem.inputs, y)  # of the negative log-likelihood
        fisher += probability * score.T @ score / len(score)
    # A sum of 27 squares; the scores of a sharp softmax's rare labels are as large as J, no larger.
    within((ri.exact.gauss_newton_matrix(problem) - fisher).norm(), 1e3 * U * scale_of(problem))


@given(FEW | ONE)
def test_29_the_expectation_of_the_sampled_factors_and_eigenvalues_is_the_exact_one(problem):
    exact = ri.fast.EKFAC(problem)
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in exact.eigen.items()}
    S = {name: torch.zeros_like(S) for name, (_, S) in exact.factors.items()}
    eigenvalues = {name: torch.zeros_like(L) for name, (_, _, L) in exact.eigen.items()}
    for _, draws, probability in labellings(problem):
        drawn = {"fisher": "sampled", "draws": draws}
        factors = kronecker_factors(problem, sweeps_over(problem, **drawn), weight_sharing="expand")
        for name, L in corrected_eigenvalues(problem, basis, **drawn).items():
            S[name] += probability * factors[name][1]
            eigenvalues[name] += probability * L
    slope = {name: _slope(problem, name) for name in S}
    for name, (_, truth) in exact.factors.items():
        within((S[name] - truth).norm(), 1e3 * U * slope[name] + U, "S")
        within((eigenvalues[name] - exact.eigen[name][2]).norm(), 1e3 * U * scale_of(problem), "Λ")


def _slope(problem: ri.Problem, name: str) -> float:
    """omega ||ds_outputs / ds||^2, the size of S's terms before anything cancels."""
    weight = float(problem.loss.weights(problem.outputs(), problem.targets).max())
    run = hooks.forward_pass(problem, problem.inputs)
    eye = torch.eye(run.outputs[0].numel()).double()
    seeds = eye.reshape(-1, 1, *run.outputs.shape[1:]).expand(-1, *run.outputs.shape)
    return weight * float(run.backward(seeds)[name].norm() ** 2) / problem.num_examples
