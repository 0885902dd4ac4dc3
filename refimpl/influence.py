"""Influence of training examples on measurements of queries."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.func import jvp, vmap

from refimpl.capture import forward_pass, matrices, verify
from refimpl.curvature import Curvature
from refimpl.gradients import values_and_gradients
from refimpl.problem import Data, Measurement, Problem, index

__all__ = ["influence", "scores_of", "self_influence", "token_influence"]

# Numbers that the queries solved at once may have; they, their solutions and the residuals are held.
SOLVED = 2**27


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
    inputs, targets = problem.examples(query_inputs, query_targets)
    step = max(1, SOLVED // problem.num_parameters)
    groups = (slice(start, start + step) for start in range(0, targets.shape[0], step))
    return torch.cat(
        [
            scores_of(
                problem,
                _solved(problem, index(inputs, q), targets[q], curvature, damping, measurement),
                candidates,
            )
            for q in groups
        ]
    )


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
    if _captures(problem):
        return -gradient_products(problem, products, inputs, targets)
    # Gradients of a chunk of candidates at a time, so that memory is bounded whatever M is.
    count = targets.shape[0]
    step = problem.chunk(1)
    parts = [
        -products @ problem.gradients(index(inputs, part), targets[part]).T
        for part in (slice(start, start + step) for start in range(0, count, step))
    ]
    return torch.cat(parts, dim=1)


def gradient_products(
    problem: Problem,
    vectors: Float[Tensor, "Q P"],
    inputs: Data,
    targets: Shaped[Tensor, "M ..."],
) -> Float[Tensor, "Q M"]:
    """<v_q, grad l_m> of every vector and example, as sum_r g_mr^T V_q a_mr block by block.

    Where a block has one position the gradient g a^T is never formed: V_q a_m, or V_q^T g_m where that
    is shorter, and then a dot product.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        vectors: Vectors v, [Q, P].
        inputs: Inputs of the examples, [M, ...].
        targets: Their targets, [M, ...].
    """
    count = targets.shape[0]
    found = vectors.new_zeros(len(vectors), count)
    for part in _pieces(problem, count, len(vectors)):
        rows = _rows(problem, index(inputs, part), targets[part], "loss")
        for name, V in problem.layout.matrices(vectors).items():
            found[:, part] += _products(V, *rows[name])
    return found


def _gradients(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "Q ..."], measurement: Measurement
) -> Float[Tensor, "Q P"]:
    """Gradients of the measurements, sum_r g_r a_r^T block by block."""
    inputs, targets = problem.examples(inputs, targets)
    found = problem.parameters.new_empty(targets.shape[0], problem.num_parameters)
    for part in _pieces(problem, len(found), 0):
        rows = _rows(problem, index(inputs, part), targets[part], measurement)
        for name, V in problem.layout.matrices(found[part]).items():
            for one, g, a in zip(V, *rows[name], strict=True):
                torch.mm(g.T, a, out=one)
    return found


def _products(
    V: Float[Tensor, "Q O I"], g: Float[Tensor, "M R O"], a: Float[Tensor, "M R I"]
) -> Float[Tensor, "Q M"]:
    """sum_r g^T V a for every matrix and example."""
    if a.shape[1] > 1:
        return V.flatten(1) @ matrices(g, a).flatten(1).T
    g, a = g[:, 0], a[:, 0]
    if V.shape[1] > V.shape[2]:
        V, g, a = V.mT, a, g
    moved = a.new_empty(len(V), *g.shape)
    for one, matrix in zip(moved, V, strict=True):
        torch.mm(a, matrix.T, out=one)
    return (moved.transpose(0, 1) @ g[:, :, None])[..., 0].T


def _pieces(problem: Problem, count: int, vectors: int) -> list[slice]:
    """The examples in pieces whose rows, and products with the vectors, stay near 256 MiB."""
    blocks = problem.layout.blocks
    each = problem.activations + max(
        vectors * min(b.outputs, b.inputs) + b.outputs * b.inputs for b in blocks
    )
    step = max(1, 2**25 // each)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _rows(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "M ..."], measurement: Measurement
) -> dict[str, tuple[Float[Tensor, "M _R _O"], Float[Tensor, "M _R _I"]]]:
    """Rows (g, a) of the gradients of the examples' measurements, per block."""
    run = forward_pass(problem, inputs)

    def measured(f: Float[Tensor, "..."], y: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
        return problem._measured(measurement, f[None], y[None])[0]

    slope = values_and_gradients(measured, run.outputs, targets, chunk=len(targets))[1]
    return {name: (g[0], run.inputs[name]) for name, g in run.backward(slope[None]).items()}


def _captures(problem: Problem) -> bool:
    """Whether the layers' inputs and gradients give the model's gradients, as `verify` tells."""
    try:
        verify(problem)
    except ValueError:
        return False
    return True


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
    step = problem.chunk(1)
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
    if _captures(problem):
        queries = _gradients(problem, query_inputs, query_targets, measurement)
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
