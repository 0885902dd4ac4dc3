"""Near: whether two arrays of one name differ by rounding only.

What "by rounding" allows is a share of the largest entry, and there are two:

- against what is right, or what a hypothesis answers: the stage's `tolerances`, which come from the same
  `scale` as the check of that name;
- between two answers of one implementation to one question, of which no scale is known: REPEATED u, since
  sums in parallel may be added in another order.
"""

import numpy as np

from refimpl.oracle.question.case import Array

__all__ = ["REPEATED", "is_near"]

REPEATED = 1e3


def is_near(array: Array, other: Array, share: float) -> bool:
    """Whether no entry differs by more than a share of the largest entry of the other; NaN is not near.

    Args:
        array: Array of any shape.
        other: Array that it is compared with; one of another shape is not near.
        share: The most that an entry may differ, as a share of the largest entry.
    """
    if array.shape != other.shape:
        return False
    error, size = np.abs(array - other).max(initial=0), np.abs(other).max(initial=0)
    return bool(error <= share * size)
