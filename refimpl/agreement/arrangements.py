"""Arrangements of a matrix that could make it another: transposed, in another order, or a part of it.

An arrangement is only proposed here, from fingerprints of rows and columns; whoever uses it compares
every entry afterwards.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

__all__ = ["Arrangement", "possible_arrangements"]

DIRECTIONS = (
    32  # of a fingerprint: random projections keep distances, so that rows keep their neighbours
)
PAIRS = 4_000_000  # beyond so many pairs of rows one direction decides, without an assignment


@dataclass(frozen=True)
class Arrangement:
    """Which entries of a matrix, in which order.

    Args:
        transpose: Whether it is transposed first.
        rows: Row i of the result is this one, [Q]; None leaves them.
        columns: Likewise, [M].
        shape: Of the matrix that it is taken from, after transposing.
    """

    transpose: bool
    rows: tuple[int, ...] | None
    columns: tuple[int, ...] | None
    shape: tuple[int, int]

    def apply(self, matrix: Float[ndarray, "R N"]) -> Float[ndarray, "Q M"]:
        """The matrix so arranged."""
        turned = matrix.T if self.transpose else matrix
        turned = turned if self.rows is None else turned[list(self.rows)]
        return turned if self.columns is None else turned[:, list(self.columns)]

    def log10_alternatives(self) -> float:
        """Decimal logarithm of how many arrangements of this kind there are."""
        orders = 0.0
        for chosen, count in zip((self.rows, self.columns), self.shape, strict=True):
            if chosen is not None:
                orders += math.lgamma(count + 1) - math.lgamma(count - len(chosen) + 1)
        return orders / math.log(10)


def possible_arrangements(
    a: Float[ndarray, "Q M"], b: Float[ndarray, "R N"]
) -> Iterator[Arrangement]:
    """Arrangements of B that may be A, or a multiple of it, the simplest first.

    Args:
        a: The matrix to be reached.
        b: The matrix to be arranged.
    """
    turned = [(t, b.T if t else b) for t in (False, True)]
    turned = [(t, c) for t, c in turned if all(np.less_equal(a.shape, c.shape))]
    for transpose, c in turned:
        sides = [None if n == m else tuple(range(n)) for n, m in zip(a.shape, c.shape, strict=True)]
        yield Arrangement(transpose, sides[0], sides[1], c.shape)
    if not (a.any() and b.any()):
        return
    for transpose, c in turned:
        for rows, columns in _orders(a, c):
            yield Arrangement(transpose, _order(rows, len(c)), _order(columns, c.shape[1]), c.shape)


Order = Int[ndarray, " n"] | None


def _order(chosen: Order, count: int) -> tuple[int, ...] | None:
    """As a tuple; None where nothing moves."""
    order = None if chosen is None else tuple(chosen.tolist())
    return None if order == tuple(range(count)) else order


def _orders(a: Float[ndarray, "Q M"], c: Float[ndarray, "R N"]) -> Iterator[tuple[Order, Order]]:
    """Pairs of orders of rows and of columns, for every way in which they can be recognised."""
    same_rows, same_columns = len(a) == len(c), a.shape[1] == c.shape[1]
    largest = np.abs(a).max(), np.abs(c).max()
    if not (same_rows and same_columns):  # no norm tells the factor: it is sought as 1 or -1
        largest = (max(largest), max(largest))
    a, c = a / largest[0], c / largest[1]  # so that no square overflows
    scale = np.linalg.norm(a) / np.linalg.norm(c) if same_rows and same_columns else 1.0
    for multiple in (scale * c, -scale * c):
        if same_columns and (rows := _matched(a, multiple)) is not None:
            yield rows, None
        if same_rows and (columns := _matched(a.T, multiple.T)) is not None:
            yield None, columns
    if same_columns and (rows := _matched(_directions(a), _directions(c))) is not None:
        yield rows, None
    if same_rows and (columns := _matched(_directions(a.T), _directions(c.T))) is not None:
        yield None, columns
    for multiple in (scale * c, -scale * c):
        if same_columns:
            yield from _both(a, multiple)
        elif same_rows:
            yield from ((rows, columns) for columns, rows in _both(a.T, multiple.T))
        else:
            yield from _by_values(a, multiple)


def _both(
    a: Float[ndarray, "Q M"], c: Float[ndarray, "R M"]
) -> Iterator[tuple[Int[ndarray, " Q"], Int[ndarray, " M"]]]:
    """Rows by their sorted numbers, which an order of the columns leaves; then columns."""
    whole = len(a) == len(c)
    x, y = (a, c) if whole else (_unit(a), _unit(c))
    if (rows := _matched(np.sort(x, axis=1), np.sort(y, axis=1))) is None:
        return
    part = c[rows]
    scale = np.linalg.norm(a) / (np.linalg.norm(part) or 1.0)
    if (columns := _matched(a.T, scale * part.T)) is not None:
        yield rows, columns


def _by_values(
    a: Float[ndarray, "Q M"], c: Float[ndarray, "R N"]
) -> Iterator[tuple[Int[ndarray, " Q"], Int[ndarray, " M"]]]:
    """Each entry finds the nearest number of C; a row goes where most of its entries lie."""
    places = _nearest(a.ravel(), c.ravel()).reshape(a.shape)
    rows = np.array([np.bincount(row).argmax() for row in places // c.shape[1]])
    columns = np.array([np.bincount(column).argmax() for column in (places % c.shape[1]).T])
    if len(set(rows)) == len(rows) and len(set(columns)) == len(columns):
        yield rows, columns


def _unit(x: Float[ndarray, "n k"]) -> Float[ndarray, "n k"]:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm == 0, 1.0, norm)


def _directions(x: Float[ndarray, "n k"]) -> Float[ndarray, "n k"]:
    """Unit vectors whose largest entry is positive: what a factor for each row leaves."""
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    return _unit(x) * np.where(largest < 0, -1.0, 1.0)


def _matched(x: Float[ndarray, "n k"], y: Float[ndarray, "m k"]) -> Int[ndarray, " n"] | None:
    """For each row of x another row of y, near it; None where that needs one twice."""
    if x.shape[1] > DIRECTIONS:
        projection = np.random.default_rng(0).normal(size=(x.shape[1], DIRECTIONS))
        x, y = x @ projection, y @ projection
    if len(x) * len(y) <= PAIRS:
        return linear_sum_assignment(cdist(x, y))[1]
    direction = np.random.default_rng(1).normal(size=x.shape[1])
    places = _nearest(x @ direction, y @ direction)
    return places if len(np.unique(places)) == len(places) else None


def _nearest(values: Float[ndarray, " n"], among: Float[ndarray, " m"]) -> Int[ndarray, " n"]:
    """Where the number next to each value is."""
    order = np.argsort(among)
    above = np.searchsorted(among, values, sorter=order).clip(1, len(among) - 1)
    to_below, to_above = values - among[order[above - 1]], among[order[above]] - values
    return order[above - (to_below < to_above)]
