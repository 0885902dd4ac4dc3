"""Influence of single tokens of training examples on measurements of queries."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.func import jvp, vmap

from refimpl.curvature.curvature import Curvature
from refimpl.problem.data import Data, index
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.scores.queries import candidate_examples, solve_queries

__all__ = ["token_influence"]


def token_influence(
    problem: Problem,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    *,
    curvature: Curvature,
    damping: float,
    measurement: Measurement = "loss",
    candidates: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, "Q M T"]:
    """The influence of each token's loss, which sum over the tokens to the example's influence.

    The loss of an example is a sum over its tokens, and so is its gradient: the influence of token t
    is -grad f_q^T (H + lambda I)^-1 grad l_mt (after Grosse et al. 2023, section 3.3), computed as the
    derivative of l_mt along the solved query. A token that is ignored has none.

    Args:
        problem: The problem whose training examples are the candidates.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        curvature: H, of the same problem.
        damping: lambda >= 0, absolute.
        measurement: f, as in `Problem.measure`.
        candidates: Indices of the training examples to score; default: all N.

    Returns:
        Scores [Q, M, T], T being all the token axes of the targets as one, for a binary
        cross-entropy the outputs.

    Raises:
        ValueError: Inputs that do not fit, candidates out of range, a bad damping, a curvature of
            other layers.
        NotConverged: A solve missed its tolerance.
    """
    solved = solve_queries(problem, query_inputs, query_targets, curvature, damping, measurement)
    inputs, targets = candidate_examples(problem, candidates)
    count = targets.shape[0]
    # The outputs' derivatives along every query are held at once, and the activations of a chunk.
    step = max(1, problem.chunk(1) // len(solved))
    parts: list[Tensor] = []
    for part in (slice(start, start + step) for start in range(0, count, step)):
        x = index(inputs, part)
        slope = problem.loss.gradient(problem.outputs(x), targets[part])  # dl_m / df, [M, T, C]

        def along(v: Float[Tensor, " P"], x: Data = x) -> Float[Tensor, "M ..."]:
            """J_m v of every example of the part."""

            def f(theta: Float[Tensor, " P"]) -> Float[Tensor, "M ..."]:
                return problem.outputs(x, theta)

            return jvp(f, (problem.parameters,), (v,))[1]

        changes = vmap(along, chunk_size=problem.chunk(len(slope)))(solved)
        parts.append(-(slope * changes.reshape(-1, *slope.shape)).sum(dim=-1))
    return torch.cat(parts, dim=1)
