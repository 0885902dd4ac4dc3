"""Curvatures and scores as arrays that results hold, and back."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.dense import Dense
from refimpl.fast import EKFAC
from refimpl.problem.problem import Problem
from refimpl.rungs.curvatures import RUNGS, TOP, TRUTH
from refimpl.rungs.operators import operator
from refimpl.rungs.plan import Arrays, Earlier, Plan
from refimpl.rungs.solving import Answers

__all__ = [
    "NOT_SCORES",
    "array",
    "eigen_arrays",
    "ekfac_of",
    "matrix_of",
    "score_arrays",
    "scores_of",
    "truths_of",
]

# How the names of arrays begin that comparisons of scores do not read: by far the larger part.
NOT_SCORES = ("matrix/", "products/", "ekfac/")


def array(tensor: Tensor) -> np.ndarray:
    """A tensor of any device as an array, shared where it can be."""
    return tensor.detach().cpu().numpy()


def score_arrays(answers: Mapping[str, Answers]) -> Arrays:
    """The scores [L, Q, N] of every rung."""
    return {f"scores/{name}": array(answer.scores) for name, answer in answers.items()}


def eigen_arrays(ekfac: EKFAC) -> Arrays:
    """Factors and eigendecompositions of an EK-FAC: A, S, Q_A, Q_S and L of each layer."""
    layers = {name: (*ekfac.factors[name], *ekfac.eigen[name]) for name in ekfac.eigen}
    return {
        f"ekfac/{name}/{i}": array(tensor)
        for name, tensors in layers.items()
        for i, tensor in enumerate(tensors)
    }


def ekfac_of(problem: Problem, arrays: Arrays) -> EKFAC:
    """The EK-FAC whose arrays were saved."""
    layers = {
        block.name: [_tensor(problem, arrays[f"ekfac/{block.name}/{i}"]) for i in range(5)]
        for block in problem.layout.blocks
    }
    return EKFAC(
        problem,
        factors={name: (A, S) for name, (A, S, *_) in layers.items()},
        eigen={name: (Q_A, Q_S, L) for name, (*_, Q_A, Q_S, L) in layers.items()},
    )


def matrix_of(problem: Problem, earlier: Earlier, name: str = TRUTH) -> Float[Tensor, "P P"] | None:
    """The matrix that the part "exact" formed, if it did.

    Args:
        problem: Of its device.
        earlier: With the result of "exact".
        name: TRUTH or TOP.
    """
    matrix = earlier["exact"].arrays.get(f"matrix/{name}")
    return None if matrix is None else _tensor(problem, matrix)


def truths_of(problem: Problem, earlier: Earlier) -> dict[str, Answers]:
    """The answers of the exact GNH and of the full Hessian, where there is one.

    Args:
        problem: The problem.
        earlier: With the result of "exact".
    """
    saved, answers = earlier["exact"].arrays, dict[str, Answers]()
    for name in (TRUTH, TOP):
        if f"scores/{name}" not in saved:
            continue
        matrix = matrix_of(problem, earlier, name)
        answers[name] = Answers(
            _tensor(problem, saved[f"scores/{name}"]),
            _tensor(problem, saved[f"products/{name}"]),
            [],
            operator=None if matrix is None else operator(Dense(problem, [matrix])),
        )
    return answers


def scores_of(plan: Plan, earlier: Earlier, damping: float) -> dict[str, Float[np.ndarray, "Q N"]]:
    """The scores of every rung that has finite ones at a damping, in the order of the tables.

    Args:
        plan: What is compared.
        earlier: Results of parts.
        damping: lambda, one of the plan's.
    """
    at = list(plan.dampings).index(damping)
    saved = {name: a for result in earlier.values() for name, a in result.arrays.items()}
    names = [*(rung.name for rung in RUNGS), *plan.given]
    scores = {name: saved[f"scores/{name}"][at] for name in names if f"scores/{name}" in saved}
    return {name: value for name, value in scores.items() if np.isfinite(value).all()}


def _tensor(problem: Problem, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(problem.device)
