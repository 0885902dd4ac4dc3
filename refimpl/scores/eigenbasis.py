"""Scores where the damped inverse is diagonal in a Kronecker basis: there is nothing to solve.

With (H + lambda I)^-1 acting on V as Q_S (D * (Q_S^T V Q_A)) Q_A^T, block by block, a score is
-<G_m, D * G_q> of gradients in that basis, G = Q_S^T (sum_r g_r a_r^T) Q_A: gradients of queries and
candidates alike are rotated once, instead of the queries' there and back and once more for a certificate.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.curvature.curvature import Eigenbasis
from refimpl.problem import checks
from refimpl.problem.data import Data, index
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rows.contractions import bounded_slices, contract, measurement_rows
from refimpl.rows.matrices import gradient_matrices
from refimpl.rows.verification import shape_of

__all__ = ["rotation_is_cheaper", "scores_in", "self_influence_in"]


def rotation_is_cheaper(problem: Problem, queries: int, inputs: Data, candidates: int) -> bool:
    """Whether rotating all gradients takes fewer operations than solving the queries.

    Args:
        problem: The problem.
        queries: Number of queries that share one pass over the candidates.
        inputs: Inputs of the candidates [M, ...].
        candidates: M, the number of candidates.
    """
    positions = shape_of(problem, inputs).positions
    rotating, solving = 0, 0
    for b in problem.layout.blocks:
        each = _rotation_cost(b.outputs, b.inputs, positions[b.name])
        rotating += (candidates + queries) * each
        # Four products of a gradient with a basis, and as many for the certificate.
        solving += queries * 4 * b.outputs * b.inputs * (b.outputs + b.inputs)
    return rotating < solving


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

    Memory is that of the queries' gradients, and of rows and gradients in pieces.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        basis: (Q_A, Q_S, D) per block, of the damped inverse.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Their targets, [Q, ...].
        measurement: As in `Problem.measure`.
        inputs: Inputs of the candidates, [M, ...].
        targets: Their targets, [M, ...].

    Raises:
        ValueError: A query whose gradient is not finite.
    """
    count = query_targets.shape[0]
    flat = problem.parameters.new_empty(count, problem.num_parameters)
    weighted = problem.layout.matrices(flat)
    for part in bounded_slices(problem, query_inputs, count, lambda b, _: b.outputs * b.inputs):
        rows = measurement_rows(
            problem, index(query_inputs, part), query_targets[part], measurement
        )
        for name, (g, a) in rows.items():
            torch.mul(_rotated(basis, name, g, a), basis[name][2], out=weighted[name][part])
    checks.finite(flat, "the measurement's gradients")
    scores = flat.new_zeros(count, targets.shape[0])
    for part in bounded_slices(problem, inputs, targets.shape[0]):
        rows = measurement_rows(problem, index(inputs, part), targets[part], "loss")
        for name, (g, a) in rows.items():
            Q_A, Q_S, _ = basis[name]
            if a.shape[1] == 1:
                scores[:, part] -= contract(weighted[name], g @ Q_S, a @ Q_A)
            else:
                G = _rotated(basis, name, g, a)
                scores[:, part] -= weighted[name].flatten(1) @ G.flatten(1).T
    return scores


def self_influence_in(problem: Problem, basis: Eigenbasis) -> Float[Tensor, " N"]:
    """-<G_n, D * G_n> of every training example; of one position (g^2)^T D a^2.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        basis: (Q_A, Q_S, D) per block, of the damped inverse.

    Raises:
        ValueError: An example whose gradient is not finite.
    """
    scores = problem.parameters.new_zeros(problem.num_examples)
    for part in bounded_slices(problem, problem.inputs, problem.num_examples):
        rows = measurement_rows(problem, index(problem.inputs, part), problem.targets[part], "loss")
        for name, (g, a) in rows.items():
            Q_A, Q_S, D = basis[name]
            if a.shape[1] == 1:
                g, a = g[:, 0] @ Q_S, a[:, 0] @ Q_A
                scores[part] -= ((g**2 @ D) * a**2).sum(dim=1)
            else:
                scores[part] -= (_rotated(basis, name, g, a) ** 2 * D).sum(dim=(1, 2))
    checks.finite(scores, "the examples' gradients")
    return scores


def _rotation_cost(outputs: int, inputs: int, positions: int) -> int:
    """Multiplications that rotate a gradient: its rows before they are summed, or their sum."""
    return min(
        positions * (outputs**2 + inputs**2),
        outputs * inputs * (outputs + inputs),
    )


def _rotated(
    basis: Eigenbasis, name: str, g: Float[Tensor, "N R O"], a: Float[Tensor, "N R I"]
) -> Float[Tensor, "N O I"]:
    """Q_S^T (sum_r g_r a_r^T) Q_A, in the order that takes less work."""
    Q_A, Q_S, _ = basis[name]
    outputs, inputs, positions = len(Q_S), len(Q_A), a.shape[1]
    if positions * (outputs**2 + inputs**2) <= _rotation_cost(outputs, inputs, positions):
        return gradient_matrices(g @ Q_S, a @ Q_A)
    return Q_S.mT @ gradient_matrices(g, a) @ Q_A
