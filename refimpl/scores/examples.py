"""Influence of training examples on measurements of queries."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.problem import memory
from refimpl.problem.data import Data, index
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rows.contractions import checked_queries, gradient_products
from refimpl.rows.verification import gradients_come_from_layers
from refimpl.scores.eigenbasis import rotation_is_cheaper, scores_in, self_influence_in
from refimpl.scores.queries import candidate_examples, require_same_parameters, solve_queries

__all__ = ["influence", "scores_of", "self_influence"]


def influence(
    problem: Problem,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    *,
    curvature: Curvature,
    damping: float,
    measurement: Measurement = "loss",
    candidates: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, "Q M"]:
    """-grad f_q^T (H + lambda I)^-1 grad l_m, for every query q and training example m.

    It is the rate at which the measurement f changes as example m gains weight epsilon in
    J + epsilon l_m (Grosse et al. 2023, eq. 5 and 9).

    Args:
        problem: The problem whose training examples are the candidates.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        curvature: H, of the same problem.
        damping: lambda >= 0, absolute.
        measurement: f, as in `Problem.measure`; for a query (prompt, completion), "log_likelihood"
            with the prompt's labels set to ignore_index.
        candidates: Indices of the training examples to score; default: all N.

    Returns:
        Scores [Q, M].

    Raises:
        ValueError: Inputs that do not fit, candidates out of range, a bad damping, a curvature of
            other layers.
        NotConverged: A solve missed its tolerance.
    """
    require_same_parameters(problem, curvature)
    from_layers = gradients_come_from_layers(problem)
    if from_layers:
        inputs, targets = checked_queries(problem, query_inputs, query_targets)
    else:
        inputs, targets = problem.examples(query_inputs, query_targets)
    examples = candidate_examples(problem, candidates)
    step = max(1, memory.SOLVED_QUERIES // problem.num_parameters)
    basis = curvature.inverse_eigenbasis(damping)
    if basis and from_layers:
        queries = min(step, len(targets))
        rotated = rotation_is_cheaper(problem, queries, examples[0], len(examples[1]))
    else:
        rotated = False
    parts: list[Tensor] = []
    for q in (slice(start, start + step) for start in range(0, targets.shape[0], step)):
        x, y = index(inputs, q), targets[q]
        if basis and rotated:
            parts.append(scores_in(problem, basis, x, y, measurement, *examples))
        else:
            solved = solve_queries(problem, x, y, curvature, damping, measurement)
            parts.append(scores_of(problem, solved, candidates))
    return torch.cat(parts)


def scores_of(
    problem: Problem,
    products: Float[Tensor, "Q P"],
    candidates: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, "Q M"]:
    """-<x_q, grad l_m> of inverse-Hessian-vector products x that are known already.

    Args:
        problem: The problem whose training examples are the candidates.
        products: x_q = (H + lambda I)^-1 grad f_q, [Q, P].
        candidates: As for `influence`.

    Returns:
        Scores [Q, M].
    """
    inputs, targets = candidate_examples(problem, candidates)
    if gradients_come_from_layers(problem):
        return -gradient_products(problem, products, inputs, targets)
    # Gradients of a chunk of candidates at a time, so that memory is bounded whatever M is.
    count = targets.shape[0]
    step = problem.chunk(1)
    parts = [
        -products @ problem.gradients(index(inputs, part), targets[part]).T
        for part in (slice(start, start + step) for start in range(0, count, step))
    ]
    return torch.cat(parts, dim=1)


def self_influence(
    problem: Problem, *, curvature: Curvature, damping: float
) -> Float[Tensor, " N"]:
    """Influence of every training example on its own loss, with its sign: never positive.

    Args:
        problem: The problem.
        curvature: H, of the same problem.
        damping: lambda >= 0, absolute.

    Returns:
        -grad l_n^T (H + lambda I)^-1 grad l_n, [N].

    Raises:
        NotConverged: A solve missed its tolerance.
    """
    require_same_parameters(problem, curvature)
    basis = curvature.inverse_eigenbasis(damping)
    if basis and gradients_come_from_layers(problem):
        return self_influence_in(problem, basis)
    parts: list[Tensor] = []
    for _, inputs, targets in problem.batches(problem.chunk(1)):
        gradients = problem.gradients(inputs, targets)
        solution = curvature.solve(gradients, damping)
        solution.certificate.require()
        parts.append(-(gradients * solution.value).sum(dim=1))
    return torch.cat(parts)
