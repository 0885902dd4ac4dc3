"""Influence of training examples on measurements of queries."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from refimpl.curvature import Curvature
from refimpl.problem import Data, Measurement, Problem, index

__all__ = ["influence", "self_influence"]


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
        ValueError: Inputs that do not fit, candidates out of range, a bad damping.
        NotConverged: A solve missed its tolerance.
    """
    queries = problem.measurement_gradients(query_inputs, query_targets, measurement)
    solution = curvature.solve(queries, damping)
    solution.certificate.require()
    inputs, targets = problem.inputs, problem.targets
    if candidates is not None:
        _check_candidates(candidates, problem.num_examples)
        inputs, targets = index(inputs, candidates), targets[candidates]
    # Gradients of a chunk of candidates at a time, so that memory is bounded whatever M is.
    count = targets.shape[0]
    step = problem.chunk(1)
    parts = [
        -solution.value @ problem.gradients(index(inputs, part), targets[part]).T
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
    parts: list[Tensor] = []
    for _, inputs, targets in problem.batches(problem.chunk(1)):
        gradients = problem.gradients(inputs, targets)
        solution = curvature.solve(gradients, damping)
        solution.certificate.require()
        parts.append(-(gradients * solution.value).sum(dim=1))
    return torch.cat(parts)


def _check_candidates(candidates: Int[Tensor, " M"], examples: int) -> None:
    if (
        not isinstance(candidates, Tensor)  # pyright: ignore
        or candidates.ndim != 1
        or candidates.is_floating_point()
        or candidates.dtype == torch.bool
    ):
        raise TypeError(f"candidates must be a tensor of indices [M], got {candidates!r}")
    if candidates.numel() == 0:
        raise ValueError("candidates is empty: name at least one training example")
    if bool(((candidates < 0) | (candidates >= examples)).any()):
        raise ValueError(
            f"candidates must be indices of the {examples} training examples, got values from "
            f"{int(candidates.min())} to {int(candidates.max())}"
        )
