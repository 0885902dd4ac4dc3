"""Influence of training examples on measurements of queries."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.func import jvp, vmap

from refimpl.curvature.curvature import Curvature
from refimpl.problem import checks
from refimpl.problem.data import Data, index
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rows.contractions import captures, gradient_products, gradients
from refimpl.scores.eigenbasis import scores_in, self_influence_in, worthwhile

__all__ = ["influence", "scores_of", "self_influence", "token_influence"]

# Numbers that the queries solved at once may have; they, their solutions and the residuals are held.
SOLVED = 2**25


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
    _check_curvature(problem, curvature)
    inputs, targets = problem.examples(query_inputs, query_targets)
    examples = _candidates(problem, candidates)
    step = max(1, SOLVED // problem.num_parameters)
    basis = curvature.inverse_eigenbasis(damping)
    if basis and not (
        captures(problem)
        and worthwhile(problem, min(step, len(targets)), examples[0], len(examples[1]))
    ):
        basis = None
    parts: list[Tensor] = []
    for q in (slice(start, start + step) for start in range(0, targets.shape[0], step)):
        x, y = index(inputs, q), targets[q]
        if basis:
            parts.append(scores_in(problem, basis, x, y, measurement, *examples))
        else:
            solved = _solved(problem, x, y, curvature, damping, measurement)
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
    inputs, targets = _candidates(problem, candidates)
    if captures(problem):
        return -gradient_products(problem, products, inputs, targets)
    # Gradients of a chunk of candidates at a time, so that memory is bounded whatever M is.
    count = targets.shape[0]
    step = problem.chunk(1)
    parts = [
        -products @ problem.gradients(index(inputs, part), targets[part]).T
        for part in (slice(start, start + step) for start in range(0, count, step))
    ]
    return torch.cat(parts, dim=1)


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
    solved = _solved(problem, query_inputs, query_targets, curvature, damping, measurement)
    inputs, targets = _candidates(problem, candidates)
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

        moved = vmap(along, chunk_size=problem.chunk(len(slope)))(solved)
        parts.append(-(slope * moved.reshape(-1, *slope.shape)).sum(dim=-1))
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
    _check_curvature(problem, curvature)
    basis = curvature.inverse_eigenbasis(damping)
    if basis and captures(problem):
        return self_influence_in(problem, basis)
    parts: list[Tensor] = []
    for _, inputs, targets in problem.batches(problem.chunk(1)):
        gradients = problem.gradients(inputs, targets)
        solution = curvature.solve(gradients, damping)
        solution.certificate.require()
        parts.append(-(gradients * solution.value).sum(dim=1))
    return torch.cat(parts)


def _solved(
    problem: Problem,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    curvature: Curvature,
    damping: float,
    measurement: Measurement,
) -> Float[Tensor, "Q P"]:
    """(H + lambda I)^-1 grad f_q of every query."""
    _check_curvature(problem, curvature)
    if captures(problem):
        queries = gradients(problem, query_inputs, query_targets, measurement)
    else:
        queries = problem.measurement_gradients(query_inputs, query_targets, measurement)
    solution = curvature.solve(queries, damping)
    solution.certificate.require()
    return solution.value


def _check_curvature(problem: Problem, curvature: Curvature) -> None:
    ours, theirs = problem.layout.blocks, curvature.layout.blocks
    if ours != theirs:
        raise ValueError(
            f"the curvature is of another problem: its layers are {curvature.layout}, "
            f"the problem's are {problem.layout}"
        )
    own, other = problem.parameters, curvature._like
    if (own.dtype, own.device) != (other.dtype, other.device):
        raise ValueError(
            f"the curvature is {other.dtype} on {other.device}, the problem {own.dtype} on "
            f"{own.device}: make one of the other's"
        )


def _candidates(
    problem: Problem, candidates: Int[Tensor, " M"] | None
) -> tuple[Data, Shaped[Tensor, "M ..."]]:
    """The training examples to score."""
    if candidates is None:
        return problem.inputs, problem.targets
    _check_candidates(candidates, problem.num_examples)
    return index(problem.inputs, candidates), problem.targets[candidates]


def _check_candidates(candidates: Int[Tensor, " M"], examples: int) -> None:
    if (
        not isinstance(candidates, Tensor)  # pyright: ignore
        or candidates.ndim != 1
        or candidates.dtype not in checks.INDICES
    ):
        raise TypeError(f"candidates must be a tensor of indices [M], got {candidates!r}")
    if candidates.numel() == 0:
        raise ValueError("candidates is empty: name at least one training example")
    if bool(((candidates < 0) | (candidates >= examples)).any()):
        raise ValueError(
            f"candidates must be indices of the {examples} training examples, got values from "
            f"{int(candidates.min())} to {int(candidates.max())}"
        )
