"""Functions that edits of several bug types share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Case

__all__ = ["arrays", "convolutions", "means_of_batches", "part", "rounded", "scaled"]


def arrays(answer: Any, change: Callable[[Any], Any]) -> Any:
    """A change of every array of an answer: an array, or arrays or tuples of them by layer.

    Args:
        answer: An array, or mappings and tuples of arrays.
        change: Maps an array to an array.
    """
    if isinstance(answer, Mapping):
        return {name: arrays(part, change) for name, part in answer.items()}
    if isinstance(answer, tuple):
        return tuple(arrays(part, change) for part in answer)
    return change(answer)


def scaled(answer: Any, factor: float) -> Any:
    """An answer times a factor.

    Args:
        answer: An array, or mappings and tuples of arrays.
        factor: Multiplies every entry.
    """
    return arrays(answer, lambda a: factor * a)


def rounded(answer: Any, dtype: torch.dtype) -> Any:
    """An answer rounded to another dtype and returned in its own.

    Args:
        answer: An array, or mappings and tuples of arrays.
        dtype: The dtype to round to.
    """

    def change(a: Any) -> Any:
        plain = torch.as_tensor(np.array(a)) if isinstance(a, np.ndarray) else a
        coarse = plain.to(dtype).to(plain.dtype)
        return coarse.numpy() if isinstance(a, np.ndarray) else coarse

    return arrays(answer, change)


def part(case: Case, place: Any) -> Case:
    """The case with some of its training examples only.

    Args:
        case: Of N training examples.
        place: A slice or indices into them.
    """
    return case.but(inputs=case.inputs[place].copy(), labels=case.labels[place].copy())


def means_of_batches(right: Callable[..., Any], case: Case, *args: Any) -> Any:
    """The mean of every batch's own answer, as if all batches had one size.

    Args:
        right: Takes a case, and more; returns an answer.
        case: The case whose batches are averaged.
        *args: Further arguments of `right`.
    """
    batches = (part(case, place) for place in case.batches())
    return _mean([right(batch, *args) for batch in batches])


def _mean(answers: list[Any]) -> Any:
    first = answers[0]
    if isinstance(first, Mapping):
        return {name: _mean([answer[name] for answer in answers]) for name in first}
    if isinstance(first, tuple):
        return tuple(_mean(list(column)) for column in zip(*answers, strict=True))
    return sum(answers) / len(answers)


def convolutions(me: Pipeline, case: Case) -> list[str]:
    """Names of the blocks that are convolutions, or groups of one.

    Args:
        me: The pipeline, which names the blocks.
        case: The case whose tracked layers are listed.
    """
    return [name for name, layer in me.blocks(case).items() if layer["op"] == "conv2d"]
