"""Query batching: solved queries kept as low-rank matrices, so that many share one pass over the data.

The gradient of a loss in a layer has the rank of its positions, and what is solved from it is near a
matrix of low rank too (Grosse et al. 2023, section 3.2.2). Kept as L R^T of rank r, a query takes
r (O + I) numbers a layer rather than O I, and its product with an example's gradient sum_t g_t a_t^T
is sum_t (L^T g_t) . (R^T a_t): less work as well as less memory.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from refimpl.problem.data import index
from refimpl.problem.layout import Block
from refimpl.problem.problem import Problem
from refimpl.rows.contractions import bounded_slices, measurement_rows
from refimpl.scores.queries import candidate_examples

__all__ = ["LowRank", "low_rank_scores", "reduce_rank"]


@dataclass(frozen=True)
class LowRank:
    """Vectors [Q, P], each block of each as a matrix L R^T.

    Args:
        factors: (L [Q, O, r], R [Q, I, r]) per block.
        error: ||x - L R^T||_2 of each whole vector [Q]. By Cauchy and Schwarz a score moves by no
            more than this times the norm of the example's gradient.
    """

    factors: dict[str, tuple[Float[Tensor, "Q _O _r"], Float[Tensor, "Q _I _r"]]]
    error: Float[Tensor, " Q"]


def reduce_rank(problem: Problem, vectors: Float[Tensor, "Q P"], rank: int) -> LowRank:
    """The nearest matrices of some rank, block by block, by singular values (Eckart & Young 1936).

    Args:
        problem: The problem.
        vectors: Solved queries x_q = (H + lambda I)^-1 grad f_q, [Q, P].
        rank: At most so many columns a block; one that has fewer rows or columns is kept whole.

    Raises:
        ValueError: rank < 1.
    """
    if rank < 1:
        raise ValueError(f"rank must be >= 1, got {rank}")
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    lost = vectors.new_zeros(len(vectors))
    for name, V in problem.layout.matrices(vectors).items():
        left, values, right = torch.linalg.svd(V, full_matrices=False)
        # The square root of each value on either side, so that neither factor dwarfs the other.
        root = values[:, None, :rank].sqrt()
        factors[name] = left[..., :rank] * root, right[:, :rank].mT * root
        lost += values[:, rank:].square().sum(dim=1)
    return LowRank(factors, lost.sqrt())


def low_rank_scores(
    problem: Problem, queries: LowRank, candidates: Int[Tensor, " M"] | None = None
) -> Float[Tensor, "Q M"]:
    """-<x_q, grad l_m> of solved queries in low rank and training examples.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        queries: From `reduce_rank`, any number of them.
        candidates: As for `influence`.

    Returns:
        Scores [Q, M], each within `queries.error` times the norm of the example's gradient.

    Raises:
        ValueError: Candidates out of range.
    """
    inputs, targets = candidate_examples(problem, candidates)
    count = len(queries.error)
    scores = problem.parameters.new_zeros(count, targets.shape[0])
    widest = max(left.shape[2] for left, _ in queries.factors.values())

    def numbers_formed(block: Block, positions: int) -> int:
        del block
        return 3 * count * widest * positions  # L^T g and R^T a of all queries, and their product

    for part in bounded_slices(problem, inputs, targets.shape[0], numbers_formed):
        rows = measurement_rows(problem, index(inputs, part), targets[part], "loss")
        for name, (left, right) in queries.factors.items():
            g, a = rows[name]
            terms = torch.einsum("mto,qor->qmtr", g, left) * torch.einsum("mti,qir->qmtr", a, right)
            scores[:, part] -= terms.sum(dim=(2, 3))
    return scores
