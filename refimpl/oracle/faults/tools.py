"""What edits of several bug types share."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["arrays", "means_of_batches", "part", "parts", "rounded", "scaled", "some_layers"]


def arrays(answer: Any, change: Callable[[Any], Any]) -> Any:
    """A change of every array of an answer: an array, or arrays or tuples of them by layer.

    Args:
        answer: The answer.
        change: Takes an array.
    """
    if isinstance(answer, Mapping):
        return {name: arrays(part, change) for name, part in answer.items()}
    if isinstance(answer, tuple):
        return tuple(arrays(part, change) for part in answer)
    return change(answer)


def scaled(factor: float) -> Callable[..., Any]:
    """An edit: the right answer times a factor.

    Args:
        factor: The factor.
    """
    return lambda right, me, *args: arrays(right(*args), lambda a: factor * a)


def rounded(dtype: torch.dtype) -> Callable[..., Any]:
    """An edit: the right answer, rounded to another dtype.

    Args:
        dtype: The dtype.
    """

    def edit(right: Callable[..., Any], me: Pipeline, *args: Any) -> Any:
        def change(a: Any) -> Any:
            given = torch.as_tensor(np.array(a)) if isinstance(a, np.ndarray) else a
            found = given.to(dtype).to(given.dtype)
            return found.numpy() if isinstance(a, np.ndarray) else found

        return arrays(right(*args), change)

    return edit


def part(case: Case, place: Any) -> Case:
    """The case with some of its training examples only.

    Args:
        case: The case.
        place: A slice or indices.
    """
    return case.but(inputs=case.inputs[place].copy(), labels=case.labels[place].copy())


def parts(case: Case) -> Iterator[Case]:
    """The case's batches as cases of their own.

    Args:
        case: The case.
    """
    for place in case.batches():
        yield part(case, place)


def means_of_batches(right: Callable[..., Any], me: Pipeline, case: Case, *args: Any) -> Any:
    """An edit: the mean of every batch's own answer, as if all batches had one size."""
    found = [right(piece, *args) for piece in parts(case)]
    return _mean(found)


def _mean(found: list[Any]) -> Any:
    if isinstance(found[0], Mapping):
        return {name: _mean([f[name] for f in found]) for name in found[0]}
    if isinstance(found[0], tuple):
        return tuple(_mean(list(column)) for column in zip(*found, strict=True))
    return sum(found) / len(found)


def some_layers(
    change: Callable[[Array], Array], wanted: Callable[[Array], bool]
) -> Callable[..., Any]:
    """An edit: a change of those arrays of the right answer that are wanted.

    Args:
        change: Takes an array.
        wanted: Whether it is to be changed, such as whether it is square.
    """
    return lambda right, me, *args: arrays(right(*args), lambda a: change(a) if wanted(a) else a)


def conv_names(me: Pipeline, case: Case) -> list[str]:
    """Names of the blocks that are convolutions.

    Args:
        me: The pipeline.
        case: The case.
    """
    return [name for name, spec in me.specs(case) if spec["op"] == "conv2d"]


def under(me: Pipeline, **conventions: Any) -> Declaration:
    """The pipeline's declaration with other conventions.

    Args:
        me: The pipeline.
        conventions: Those that change.
    """
    both = {**me.declaration.conventions, **conventions}
    return Declaration(me.declaration.name, conventions=both, curvature=me.declaration.curvature)
