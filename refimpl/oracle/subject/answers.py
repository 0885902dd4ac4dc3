"""Answers as an implementation gave them: read as float64 arrays, and refused where they are none."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.layout import shapes

__all__ = ["BadAnswer", "checked"]


class BadAnswer(Exception):
    """An answer that cannot be judged: NaN, wrong shape, wrong layers, not numbers."""


def checked(stage: str, raw: Any, case: Case, conventions: Conventions, rows: int = 0) -> Any:
    """The answer of a stage as float64 arrays.

    Args:
        stage: The stage.
        raw: What the implementation returned.
        case: The case.
        conventions: The conventions.
        rows: Vectors given to `gauss_newton` and `solve`.

    Raises:
        BadAnswer: It is not what the stage returns; it says what was expected.
    """
    sizes = shapes(case, conventions)
    n, q = case.num_examples, len(case.query_inputs)
    p = sum(o * i for o, i in sizes.values())
    if stage == "gradients":
        return _layers(stage, raw, {k: ((n, o, i),) for k, (o, i) in sizes.items()}, single=True)
    if stage == "factors":
        return _layers(stage, raw, {k: ((i, i), (o, o)) for k, (o, i) in sizes.items()})
    if stage == "eigenbasis":
        return _layers(stage, raw, {k: ((i,), (i, i), (o,), (o, o)) for k, (o, i) in sizes.items()})
    if stage == "eigenvalues":
        return _layers(stage, raw, {k: ((o, i),) for k, (o, i) in sizes.items()}, single=True)
    shape = {"scores": (q, n), "response": (p,)}.get(stage, (rows, p))
    return _array(stage, raw, shape)


def _layers(
    stage: str,
    raw: Any,
    expected: Mapping[str, tuple[tuple[int, ...], ...]],
    *,
    single: bool = False,
) -> Any:
    if not isinstance(raw, Mapping):
        raise BadAnswer(f"{stage} must return a dict by layer, got {type(raw).__name__}")
    if set(raw) != set(expected):
        missing, extra = sorted(set(expected) - set(raw)), sorted(set(raw) - set(expected))
        raise BadAnswer(
            f"{stage} must cover the layers {sorted(expected)}"
            + (f"; missing: {missing}" if missing else "")
            + (f"; unknown: {extra}" if extra else "")
        )
    found: dict[str, Any] = {}
    for name, layer_shapes in expected.items():
        where = f"{stage}['{name}']"
        if single:
            found[name] = _array(where, raw[name], layer_shapes[0])
            continue
        parts = raw[name]
        if not isinstance(parts, (tuple, list)) or len(parts) != len(layer_shapes):
            raise BadAnswer(f"{where} must be {len(layer_shapes)} arrays of shapes {layer_shapes}")
        found[name] = tuple(
            _array(f"{where}[{i}]", part, s)
            for i, (part, s) in enumerate(zip(parts, layer_shapes, strict=True))
        )
    return found


def _array(where: str, raw: Any, shape: tuple[int, ...]) -> Array:
    try:
        if hasattr(raw, "detach"):  # a tensor that requires grad, or lies elsewhere
            raw = raw.detach().cpu()
            raw = raw.float() if str(raw.dtype) == "torch.bfloat16" else raw
        array = np.asarray(raw)
        if array.dtype == object and hasattr(raw, "__dlpack__"):
            array = np.from_dlpack(raw)
        array = array.astype(np.float64)
    except Exception as error:  # whatever a foreign array raises when it is read
        raise BadAnswer(
            f"{where} is no array of numbers ({type(error).__name__}: {error})"
        ) from None
    if array.shape != shape:
        raise BadAnswer(f"{where} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise BadAnswer(f"{where} has {bad} of {array.size} entries that are NaN or infinite")
    return array
