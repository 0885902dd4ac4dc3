"""Solved queries and chosen candidates, which every score starts from."""

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.problem import checks
from refimpl.problem.data import Data, index
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rows.contractions import gradients
from refimpl.rows.verification import gradients_come_from_layers

__all__ = ["candidate_examples", "require_same_parameters", "solve_queries"]


def solve_queries(
    problem: Problem,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    curvature: Curvature,
    damping: float,
    measurement: Measurement,
) -> Float[Tensor, "Q P"]:
    """(H + lambda I)^-1 grad f_q of every query, certified.

    Args:
        problem: The problem.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        curvature: H, of the same problem.
        damping: lambda >= 0, absolute.
        measurement: f, as in `Problem.measure`.

    Raises:
        ValueError: Queries that do not fit, a bad damping, a curvature of other layers.
        NotConverged: A solve missed its tolerance.
    """
    require_same_parameters(problem, curvature)
    if gradients_come_from_layers(problem):
        slopes = gradients(problem, query_inputs, query_targets, measurement)
    else:
        slopes = problem.measurement_gradients(query_inputs, query_targets, measurement)
    solution = curvature.solve(slopes, damping)
    solution.certificate.require()
    return solution.value


def require_same_parameters(problem: Problem, curvature: Curvature) -> None:
    """Refuse a curvature of other layers, of another dtype or on another device.

    Args:
        problem: The problem.
        curvature: H.

    Raises:
        ValueError: The curvature is not of the problem's parameters.
    """
    ours, theirs = problem.layout.blocks, curvature.layout.blocks
    if ours != theirs:
        raise ValueError(
            f"the curvature is of another problem: its layers are {curvature.layout}, "
            f"the problem's are {problem.layout}"
        )
    theta, other = problem.parameters, curvature.parameters
    if (theta.dtype, theta.device) != (other.dtype, other.device):
        raise ValueError(
            f"the curvature is {other.dtype} on {other.device}, the problem {theta.dtype} on "
            f"{theta.device}: make one of the other's"
        )


def candidate_examples(
    problem: Problem, candidates: Int[Tensor, " M"] | None
) -> tuple[Data, Shaped[Tensor, "M ..."]]:
    """The training examples to score.

    Args:
        problem: The problem.
        candidates: Their indices; None: all N.

    Raises:
        TypeError: The candidates are no tensor of indices.
        ValueError: There are none, or one is out of range.
    """
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
