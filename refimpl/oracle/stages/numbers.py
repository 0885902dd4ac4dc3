"""Reading of foreign arrays as float64: whatever holds real numbers is read, and nothing else is."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from refimpl.oracle.question.case import Array

__all__ = ["BadAnswer", "one_line", "real_array"]

LONGEST = 500  # characters of a foreign error's text that are quoted
HELD = {"b": "booleans", "U": "text", "T": "text", "S": "bytes", "M": "dates", "m": "time spans"}


class BadAnswer(Exception):
    """An answer that cannot be judged: NaN, wrong shape, wrong layers, not real numbers."""


def real_array(where: str, raw: Any, shape: tuple[int, ...]) -> Array:
    """Any framework's array, or nested lists of numbers, as a float64 array.

    Args:
        where: Whose array it is, for the error's text.
        raw: Array that numpy or torch can read.
        shape: Its shape.

    Raises:
        BadAnswer: It holds something else than finite real numbers, or has another shape.
    """
    try:
        array = _dense(raw)
        imaginary = int(np.count_nonzero(np.imag(array))) if array.dtype.kind == "c" else 0
        with np.errstate(
            over="ignore"
        ):  # what float64 cannot hold becomes infinite, and is refused
            real = np.real(array).astype(np.float64)
    except Exception as error:  # whatever a foreign array raises when it is read
        reason = (
            str(error) if isinstance(error, _NotNumbers) else f"reading it raised {one_line(error)}"
        )
        raise BadAnswer(f"{where} is no array of numbers: {reason}") from None
    if real.shape != shape:
        raise BadAnswer(f"{where} must have shape {shape}, got {real.shape}")
    if imaginary:
        raise BadAnswer(
            f"{where} must be real, and {imaginary} of {real.size} entries have an imaginary part"
        )
    if not np.isfinite(real).all():
        bad = int((~np.isfinite(real)).sum())
        raise BadAnswer(f"{where} has {bad} of {real.size} entries that are NaN or infinite")
    return real


def one_line(error: BaseException) -> str:
    """The kind and the text of an error on one line.

    Args:
        error: Any error; one whose text cannot be had has its kind alone.
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # its own text broke
        text = ""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return f"{type(error).__name__}: {text}"


class _NotNumbers(Exception):
    """Something else than numbers; the text says what, as a clause."""


def _dense(raw: Any) -> Array:
    """A numpy array of integers, real or complex numbers.

    Raises:
        _NotNumbers: It holds something else.
    """
    if isinstance(raw, torch.Tensor):
        return _numeric(_of_tensor(raw))
    if isinstance(raw, (list, tuple)):
        return _of_sequence(raw)
    if isinstance(raw, (bytearray, type(None))):  # which numpy takes for numbers
        raise _NotNumbers(f"it is {'None' if raw is None else 'a bytearray'}")
    return _numeric(_foreign(raw))


def _foreign(raw: Any) -> Array:
    """Read by `__array__`, which may refuse what lies on an accelerator, or else by DLPack."""
    if isinstance(raw, np.ndarray) or not hasattr(raw, "__dlpack__"):
        return np.asanyarray(raw)  # a subclass, so that its mask is seen
    by_array = [np.asanyarray] if hasattr(raw, "__array__") else []
    for read in (*by_array, np.from_dlpack):  # which knows no bfloat16 and reads the CPU's alone
        with suppress(Exception):
            return read(raw)
    return _of_tensor(torch.from_dlpack(raw))


def _of_tensor(tensor: torch.Tensor) -> Array:
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else tensor.layout
        raise _NotNumbers(f"it is a tensor that is not dense ({kind})")
    if tensor.is_meta:
        raise _NotNumbers("it is a tensor on the meta device, without values")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _of_sequence(raw: Sequence[Any]) -> Array:
    """Each item is read by itself: numpy would make numbers of booleans and masked entries among them."""
    if all(type(item) in (float, int) for item in raw):
        return _numeric(np.array(raw))
    items = [_dense(item) for item in raw]
    if len({item.shape for item in items}) > 1:
        raise _NotNumbers("it is ragged, with rows of different shapes")
    return np.stack(items)


def _numeric(array: Array) -> Array:
    mask = getattr(array, "mask", None)  # of numpy.ma and its like
    if mask is not None and np.any(mask):
        masked = int(np.count_nonzero(np.broadcast_to(mask, array.shape)))
        raise _NotNumbers(f"{masked} of {array.size} entries are masked")
    array, kind = np.asarray(array), array.dtype.kind
    if kind == "O":
        held = sorted({type(item).__name__ for item in array.flat})
        raise _NotNumbers(f"it holds Python objects ({', '.join(held)})")
    if kind == "V" and not issubclass(
        array.dtype.type, np.void
    ):  # bfloat16 and others as an add-on
        return array.astype(np.complex128)
    if kind not in "iufc":
        raise _NotNumbers(f"it holds {HELD.get(kind, 'records')} ({array.dtype})")
    return array
