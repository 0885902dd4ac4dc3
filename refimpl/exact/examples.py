"""Indices of training examples, or of sets of them, checked."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from refimpl.problem import checks
from refimpl.problem.problem import Problem

__all__ = ["Examples", "example_sets"]

# K training examples, or K sets of as many: their indices.
Examples = Int[Tensor, "K *k"] | Sequence[int] | Sequence[Sequence[int]]


def example_sets(problem: Problem, examples: Examples) -> Int[Tensor, "K k"]:
    """One set of examples a row.

    Args:
        problem: The problem whose training examples are meant.
        examples: Indices of K examples, or of K sets of them [K, k], each in [0, N).

    Raises:
        ValueError: None, no indices, or out of range.
    """
    try:
        chosen = torch.as_tensor(examples, device=problem.device)
    except ValueError:
        raise ValueError("sets of examples must all have one size") from None
    if chosen.ndim not in (1, 2) or chosen.numel() == 0 or chosen.dtype not in checks.INDICES:
        raise ValueError(
            "examples must be a non-empty list of indices of training examples, or of sets of them"
        )
    if bool(((chosen < 0) | (chosen >= problem.num_examples)).any()):
        raise ValueError(
            f"examples must lie in [0, {problem.num_examples}), got values from "
            f"{int(chosen.min())} to {int(chosen.max())}"
        )
    return chosen.reshape(len(chosen), -1)
