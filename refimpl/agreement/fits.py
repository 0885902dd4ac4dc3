"""Fits of one form to two aligned matrices: whether A = f B + c holds in every entry, to rounding.

Each entry confines the parameter to an interval, as wide as rounding allows; a form holds where the
intervals have a point in common. So nothing is estimated, and the interval says how well f is known.

An entry may differ by `tolerance` roundoffs u of its size. Stored copies: 4, one each for storing A,
storing B, rounding f or c, and arithmetic (two divisions, say, or our own). If both were computed, as sums
of K terms of random sign, partial sums grow to the score's size and u is added K times: a standard
deviation of u sqrt(K / 2) for each matrix, u sqrt(K) for both, relative to the size of the scores of
that query and example. The largest of n such errors exceeds sqrt(2 ln(2 n / 1e-6)) of them once in a
million times.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from torch import Tensor

__all__ = ["Fit", "Form", "Rounding", "fit", "rounding_of", "stored"]

COPIES = 4.0  # roundoffs between two stored copies, counted above
FALSE_ALARM = 1e-6
SIGNIFICANDS = {8: "bfloat16", 11: "float16", 24: "float32"}  # bits, and the dtype that has them


class Form(StrEnum):
    """A relation between the values of two aligned matrices; each value is the words for it."""

    EQUAL = "equal"
    FACTOR = "factor"
    SHIFT = "shift"
    FACTOR_PER_QUERY = "factor for each query"
    FACTOR_PER_EXAMPLE = "factor for each example"
    SHIFT_PER_QUERY = "shift for each query"


AXES = {
    Form.FACTOR: None,
    Form.SHIFT: None,
    Form.FACTOR_PER_QUERY: 1,
    Form.SHIFT_PER_QUERY: 1,
    Form.FACTOR_PER_EXAMPLE: 0,
}


@dataclass(frozen=True)
class Rounding:
    """What rounding may do to an entry.

    Args:
        unit: Unit roundoff u of the coarser dtype of the two.
        dtype: Its name.
        normal: The smallest normal numbers of A's and of B's dtype: below them rounding is absolute.
        terms: How many terms each score is a sum of; 1 for stored copies.
        tolerance: The largest difference that is called rounding, in u of an entry's size.
    """

    unit: float
    dtype: str
    normal: tuple[float, float]
    terms: int
    tolerance: float


@dataclass(frozen=True)
class Fit:
    """A form that holds, A = factor * B + shift.

    Args:
        form: Which.
        factor: [1, 1], [Q, 1] or [1, M].
        shift: [1, 1] or [Q, 1].
        interval: The smallest and the largest parameter that fits, for one factor or shift.
        residual: The largest difference, in u of an entry's size.
        surplus: Different numbers beyond those that fix the parameters: each is a test that was passed.
    """

    form: Form
    factor: Float[ndarray, "#Q #M"]
    shift: Float[ndarray, "#Q #M"]
    interval: tuple[float, float]
    residual: float
    surplus: int


def stored(
    scores: Shaped[ndarray, "..."] | Shaped[Tensor, "..."], name: str
) -> tuple[Float[ndarray, "Q M"], tuple[float, str, float]]:
    """Scores in float64, with unit roundoff, name and smallest normal number of their dtype.

    Numbers that fit a shorter significand, and use it (half of them one of its last two bits), were
    rounded to it before they were stored.

    Args:
        scores: A matrix of real numbers.
        name: What an error calls it.

    Raises:
        ValueError: It is no matrix, has no entry, or entries that are no finite real numbers.
    """
    tensor = scores.detach().cpu() if isinstance(scores, Tensor) else None
    dtype = str(scores.dtype).removeprefix("torch.")
    values = tensor.double().numpy() if tensor is not None else np.asarray(scores)
    if dtype.startswith("complex") or values.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold real numbers, got {dtype}")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{name} must be a matrix [queries, examples], got shape {values.shape}")
    values = values.astype(np.float64)
    if bad := int((~np.isfinite(values)).sum()):
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{name} has {bad} NaN or infinite entries, the first in query {row}, example {column}"
        )
    if not dtype.startswith(("float", "bfloat")) or dtype == "float64":
        dtype = next((d for bits, d in SIGNIFICANDS.items() if _uses(values, bits)), "float64")
    limits = torch.finfo(getattr(torch, dtype))
    return values, (limits.eps / 2, dtype, 2 * limits.tiny)  # twice: u times it is no zero


def _uses(values: Float[ndarray, "Q M"], bits: int) -> bool:
    significands = np.ldexp(np.frexp(values[values != 0])[0], bits)
    whole = significands == np.rint(significands)
    return bool(whole.size and whole.all() and (significands % 4 != 0).mean() >= 0.5)


def rounding_of(
    a: tuple[float, str, float], b: tuple[float, str, float], entries: int, terms: int
) -> Rounding:
    """What rounding may do to entries of matrices of two dtypes.

    Args:
        a: Unit roundoff, name and smallest normal number of A's dtype.
        b: Those of B's.
        entries: How many entries are compared.
        terms: How many terms each score is a sum of, 1 for copies.
    """
    unit, dtype, _ = max(a, b)
    sums = math.sqrt(2 * math.log(2 * entries / FALSE_ALARM) * terms) if terms > 1 else 0.0
    return Rounding(unit, dtype, (a[2], b[2]), terms, COPIES + sums)


def fit(
    form: Form, a: Float[ndarray, "Q M"], b: Float[ndarray, "Q M"], rounding: Rounding
) -> Fit | None:
    """The form's parameters, or None where no parameters bring B to A within rounding.

    Args:
        form: Which relation.
        a: A, aligned with B.
        b: B.
        rounding: What rounding may do.
    """
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    size = _size(form, a, b, rounding)
    allowed = rounding.tolerance * rounding.unit * size
    factor, shift, interval = one, zero, (1.0, 1.0)
    if form is not Form.EQUAL:
        moves = form in (Form.SHIFT, Form.SHIFT_PER_QUERY)
        if not (moves or a.any()):
            return None  # 0 is no multiple that says anything
        bounds = _shifts(a, b, allowed) if moves else _ratios(a, b, allowed)
        low = bounds[0].max(axis=AXES[form], keepdims=True)
        high = bounds[1].min(axis=AXES[form], keepdims=True)
        if (low > high).any():
            return None
        free = np.isinf(low) | np.isinf(high)  # nothing but zeros
        value = np.where(free, 1.0, (np.where(free, 1, low) + np.where(free, 1, high)) / 2)
        interval = (float(low.flat[0]), float(high.flat[0]))
        if value.size == 1:
            value[...] = _shortest(float(value.item()), interval)
        factor, shift = (one, value) if moves else (value, zero)
    difference = np.abs(a - (factor * b + shift))
    if form is Form.EQUAL and (difference > allowed).any():
        return None
    residual = float((difference / (rounding.unit * size)).max())
    return Fit(form, factor, shift, interval, residual, _surplus(form, b, rounding))


def _shortest(value: float, interval: tuple[float, float]) -> float:
    """The number with the fewest digits that fits: more are not known."""
    rounded = (float(f"{value:.{digits}g}") for digits in range(1, 17))
    return next((r for r in rounded if interval[0] <= r <= interval[1]), value)


def _size(
    form: Form, a: Float[ndarray, "Q M"], b: Float[ndarray, "Q M"], rounding: Rounding
) -> Float[ndarray, "Q M"]:
    """What the roundoffs of an entry are relative to."""
    magnitude = np.abs(a)
    scale = 1.0
    if form in (Form.SHIFT, Form.SHIFT_PER_QUERY):
        magnitude = magnitude + np.abs(b)  # |c| is at most that
    elif form is Form.EQUAL:
        magnitude = np.maximum(magnitude, np.abs(b))
    else:
        scale = np.abs(a).max() / (np.abs(b).max() or 1.0)
    if rounding.terms > 1 and (total := _rms(a, None).item()) > 0:
        magnitude = np.maximum(magnitude, _rms(a, 1) / total * _rms(a, 0))
    return np.maximum(magnitude, max(rounding.normal[0], scale * rounding.normal[1]))


def _rms(values: Float[ndarray, "Q M"], axis: int | None) -> Float[ndarray, "#Q #M"]:
    largest = np.abs(values).max() or 1.0  # so that no square underflows
    return largest * np.sqrt(((values / largest) ** 2).mean(axis=axis, keepdims=True))


def _shifts(
    a: Float[ndarray, "Q M"], b: Float[ndarray, "Q M"], allowed: Float[ndarray, "Q M"]
) -> tuple[Float[ndarray, "Q M"], Float[ndarray, "Q M"]]:
    return a - b - allowed, a - b + allowed


def _ratios(
    a: Float[ndarray, "Q M"], b: Float[ndarray, "Q M"], allowed: Float[ndarray, "Q M"]
) -> tuple[Float[ndarray, "Q M"], Float[ndarray, "Q M"]]:
    """The factors that each entry allows: any where both are zero, none where only B is."""
    zero: Bool[ndarray, "Q M"] = b == 0
    safe = np.where(zero, 1.0, b)
    with np.errstate(over="ignore"):
        ends = (a - allowed) / safe, (a + allowed) / safe
    nothing = np.where(np.abs(a) <= allowed, np.inf, -np.inf)
    return (
        np.where(zero, -nothing, np.minimum(*ends)),
        np.where(zero, nothing, np.maximum(*ends)),
    )


def _surplus(form: Form, b: Float[ndarray, "Q M"], rounding: Rounding) -> int:
    """How many different numbers there are beyond one for each parameter."""
    if form is Form.EQUAL:
        return b.size
    groups = {None: b.reshape(1, -1), 1: b, 0: b.T}[AXES[form]]
    values = np.sort(groups, axis=1)
    gaps = np.diff(values, axis=1)
    near = (
        2
        * rounding.tolerance
        * rounding.unit
        * np.maximum(*np.abs([values[:, 1:], values[:, :-1]]))
    )
    different = (gaps > near).sum(axis=1) + 1
    if form not in (Form.SHIFT, Form.SHIFT_PER_QUERY):
        different = different - (groups == 0).any(axis=1)  # zeros say nothing of a factor
    return int(np.maximum(different - 1, 0).sum())
