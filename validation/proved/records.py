"""Records of a comparison: one for each problem and quantity, in plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

__all__ = ["ProvedRecord", "record", "worst"]


@dataclass(frozen=True)
class ProvedRecord:
    """One quantity of one problem at its worst entry.

    Args:
        problem: Name of the problem.
        quantity: What was compared.
        error: Distance from the proved value.
        bound: What rounding and conditioning allow.
        ratio: error / bound; below 1 where the answer is right, NaN where it is not a number.
    """

    problem: str
    quantity: str
    error: float
    bound: float
    ratio: float


def record(problem: str, quantity: str, errors: ndarray, limits: ndarray) -> ProvedRecord:
    """The worst entry of a quantity."""
    errors, limits = np.broadcast_arrays(np.atleast_1d(errors), np.atleast_1d(limits))
    with np.errstate(divide="ignore", invalid="ignore"):
        # an entry that no rounding reaches must be exact; a bound that is no number bounds nothing
        ratios = np.where(errors == 0, 0.0, errors / np.where(limits >= 0, limits, np.nan))
        ratios = np.where(limits < np.inf, ratios, np.nan)
    at = int(np.argmax(ratios))  # NaN counts as the largest
    picked = (float(array.flat[at]) for array in (errors, limits, ratios))
    return ProvedRecord(problem, quantity, *picked)


def worst(records: Sequence[ProvedRecord]) -> dict[str, ProvedRecord]:
    """The record with the largest ratio of each quantity, NaN being the largest of all."""
    by_quantity: dict[str, ProvedRecord] = {}
    for entry in records:
        best = by_quantity.get(entry.quantity)
        if best is None or not entry.ratio <= best.ratio:
            by_quantity[entry.quantity] = entry
    return by_quantity
