"""Scores where the damped inverse is diagonal in a Kronecker basis: there is nothing to solve.

With (H + lambda I)^-1 acting on V as Q_S (D * (Q_S^T V Q_A)) Q_A^T, block by block, a score is
-<G_m, D * G_q> of gradients in that basis, G = sum_r (Q_S^T g_r) (Q_A^T a_r)^T: the rows g and a are
turned, of queries and candidates alike, instead of the queries' gradients there and back.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.capture import forward_pass, matrices, pieces_of_matrices
from refimpl.curvature import Eigenbasis
from refimpl.problem import Data, Measurement, Problem, index
from refimpl.products import pieces, products, rows_of

__all__ = ["scores_in", "self_influence_in", "worthwhile"]


def worthwhile(problem: Problem, queries: int, inputs: Data, candidates: int) -> bool:
    """Whether to turn the candidates' rows takes fewer operations than to solve the queries.

    Args:
        problem: The problem.
        queries: How many.
        inputs: The candidates' [M, ...].
        candidates: M.
    """
    rows = forward_pass(problem, index(inputs, slice(0, 1))).inputs
    turning, solving = 0, 0
    for b in problem.layout.blocks:
        turning += candidates * rows[b.name].shape[1] * (b.outputs**2 + b.inputs**2)
        # Four products of a gradient with a basis, and as many for the certificate.
        solving += queries * 4 * b.outputs * b.inputs * (b.outputs + b.inputs)
    return turning < solving


def scores_in(
    problem: Problem,
    basis: Eigenbasis,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    measurement: Measurement,
    inputs: Data,
    targets: Shaped[Tensor, "M ..."],
) -> Float[Tensor, "Q M"]:
    """-<G_m, D * G_q> of every query and candidate.

    Memory is that of the queries' gradients, and the candidates' rows in pieces.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        basis: (Q_A, Q_S, D) per block, of the damped inverse.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Their targets, [Q, ...].
        measurement: As in `Problem.measure`.
        inputs: Inputs of the candidates, [M, ...].
        targets: Their targets, [M, ...].
    """
    queries = _turned(problem, basis, query_inputs, query_targets, measurement)
    weighted = {name: matrices(*rows).mul_(basis[name][2]) for name, rows in queries.items()}
    found = problem.parameters.new_zeros(query_targets.shape[0], targets.shape[0])
    for part in pieces(problem, targets.shape[0], 1):
        rows = _turned(problem, basis, index(inputs, part), targets[part], "loss")
        for name, V in weighted.items():
            found[:, part] -= products(V, *rows[name])
    return found


def self_influence_in(problem: Problem, basis: Eigenbasis) -> Float[Tensor, " N"]:
    """-<G_n, D * G_n> of every training example; of one position (g^2)^T D a^2.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        basis: (Q_A, Q_S, D) per block, of the damped inverse.
    """
    found = problem.parameters.new_zeros(problem.num_examples)
    for part in pieces(problem, problem.num_examples, 1):
        inputs, targets = index(problem.inputs, part), problem.targets[part]
        for name, (g, a) in _turned(problem, basis, inputs, targets, "loss").items():
            D = basis[name][2]
            if a.shape[1] == 1:
                found[part] -= ((g[:, 0] ** 2 @ D) * a[:, 0] ** 2).sum(dim=1)
            else:
                own = [(G[0] ** 2 * D).sum(dim=(1, 2)) for G in pieces_of_matrices(g[None], a)]
                found[part] -= torch.cat(own)
    return found


def _turned(
    problem: Problem,
    basis: Eigenbasis,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    measurement: Measurement,
) -> dict[str, tuple[Float[Tensor, "N _R _O"], Float[Tensor, "N _R _I"]]]:
    """Rows (Q_S^T g, Q_A^T a) of the measurements' gradients, per block."""
    rows = rows_of(problem, inputs, targets, measurement)
    return {name: (g @ basis[name][1], a @ basis[name][0]) for name, (g, a) in rows.items()}
