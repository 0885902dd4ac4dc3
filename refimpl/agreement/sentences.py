"""Words for a relation of two score matrices."""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from refimpl.agreement.arrangements import Arrangement
from refimpl.agreement.fits import Fit, Form, Rounding
from refimpl.agreement.intervals import Estimate

__all__ = ["arranged", "expression", "moved", "percent", "transformed"]

LISTED = 10  # lines that are missing are listed up to so many


def transformed(f: Fit, names: tuple[str, ...], source: str) -> str:
    """What the values of one matrix are of the other's.

    Args:
        f: The form that holds.
        names: Of the factor.
        source: The matrix it is made of, "A" or "B".
    """
    other = "A" if source == "B" else "B"
    value = f"{f.factor.flat[0]:.10g}" if f.form is Form.FACTOR else f"{f.shift.flat[0]:.10g}"
    if names == ("-1",):
        return f"{other} is -{source}"
    if f.form is Form.EQUAL:
        return f"{other} equals {source}"
    if f.form in (Form.FACTOR, Form.SHIFT):
        others = [name for name in names if name != value]
        named = f", which is {' or '.join(others)}" if others else ""
        verb = "times" if f.form is Form.FACTOR else "plus"
        return f"{other} is {source} {verb} {value}{named}"
    values = f.shift if f.form is Form.SHIFT_PER_QUERY else f.factor
    ends = f"from {values.min():.4g} to {values.max():.4g}"
    return f"{other} is {source} with a {f.form}, {ends}"


def arranged(arrangement: Arrangement, source: str) -> str:
    """How the lines of one matrix lie in the other; "" where they lie alike.

    Args:
        arrangement: Of the source.
        source: The matrix it is applied to, "A" or "B".
    """
    said = ["transposed"] if arrangement.transpose else []
    orders = (arrangement.rows, arrangement.columns)
    for order, count, line in zip(orders, arrangement.shape, ("queries", "examples"), strict=True):
        if order is None:
            continue
        missing = sorted(set(range(count)) - set(order))
        if missing:
            listed = f": {', '.join(map(str, missing))}" if len(missing) <= LISTED else ""
            said.append(f"without {len(missing)} of its {count} {line}{listed}")
        if list(order) != sorted(order):
            said.append(f"with its {line} in another order")
    return f", {source} taken {' and '.join(said)}" if said else ""


def expression(f: Fit, arrangement: Arrangement, names: tuple[str, ...], source: str) -> str:
    """The transformation in numpy's notation; arrays stand in `transformation`.

    Args:
        f: The form that holds.
        arrangement: Of the source.
        names: Of the factor.
        source: The matrix it is applied to, "A" or "B".
    """
    text = source + (".T" if arrangement.transpose else "")
    text += "" if arrangement.rows is None else "[rows]"
    text += "" if arrangement.columns is None else "[:, columns]"
    value = {
        Form.EQUAL: "",
        Form.FACTOR: f" * ({names[0]})" if names else f" * {float(f.factor.flat[0])!r}",
        Form.SHIFT: f" + {float(f.shift.flat[0])!r}",
        Form.FACTOR_PER_QUERY: " * factor[:, None]",
        Form.FACTOR_PER_EXAMPLE: " * factor[None, :]",
        Form.SHIFT_PER_QUERY: " + shift[:, None]",
    }[f.form]
    return f"{'A' if source == 'B' else 'B'} = {text}{value}"


def percent(estimate: Estimate) -> str:
    """A mean over queries and its interval, as `0.93 [0.91, 0.95]`."""
    interval = estimate.interval
    if math.isnan(estimate.value):
        return "undefined"
    if interval.method == "none":
        return f"{estimate.value:.3g} (one query has no interval)"
    return f"{estimate.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def moved(x: Float[ndarray, "Q M"], y: Float[ndarray, "Q M"], rounding: Rounding) -> str:
    """How far the nearest multiple of y is from x, where that is near; else "".

    Args:
        x: Scores, not zero.
        y: Scores, not zero.
        rounding: In whose roundoffs the distance is said.
    """
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    nearest = (x * y).sum() / (y * y).sum() * y
    distance = float(np.linalg.norm(x - nearest) / np.linalg.norm(x))
    if distance > 0.1:
        return ""
    return (
        f" The nearest multiple leaves {distance:.2g} of the norm, {distance / rounding.unit:.2g} "
        f"roundoffs of {rounding.dtype}: copies differ by {rounding.tolerance:.2g} at most. If both were "
        "computed separately, say of how many terms a score is a sum (`terms`)."
    )
