"""Ball arithmetic: exact conversion of float64 arrays, and distances of floats from enclosures.

A ball [m +/- r] of python-flint's `arb` contains the true number; every operation on balls rounds
outwards, so that a result is a proof. float64 numbers enter exactly.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import flint
import numpy as np
from flint import arb, arb_mat
from jaxtyping import Float
from numpy import ndarray

__all__ = [
    "DIGITS",
    "column_slice",
    "diagonal",
    "distance",
    "exact_balls",
    "midpoints",
    "radii",
    "row",
    "row_slice",
    "stack",
    "working_precision",
]

# Working precision. Damping 1e-10 and inputs collinear to 1e-6 cost the solves some 40 digits (as
# measured by the radii), so that more than 60 remain.
DIGITS = 110


@contextmanager
def working_precision(digits: int = DIGITS) -> Generator[None, None, None]:
    """Set flint's working precision within a block, and restore the caller's afterwards."""
    context: Any = flint.ctx
    with context.workdps(digits):
        yield


def exact_balls(values: Float[ndarray, "m n"]) -> arb_mat:
    """A matrix of balls of radius zero around float64 numbers."""
    m, n = values.shape
    return arb_mat(m, n, np.asarray(values, dtype=np.float64).ravel().tolist())


def midpoints(matrix: arb_mat) -> Float[ndarray, "m n"]:
    """The enclosure's midpoints, rounded to float64."""
    return np.array([float(x) for x in matrix.entries()]).reshape(matrix.nrows(), matrix.ncols())


def radii(matrix: arb_mat) -> Float[ndarray, "m n"]:
    """The enclosure's radii, rounded to float64."""
    values = [float(x.rad()) for x in matrix.entries()]
    return np.array(values).reshape(matrix.nrows(), matrix.ncols())


def distance(values: Float[ndarray, "m n"], matrix: arb_mat) -> Float[ndarray, "m n"]:
    """Upper bounds of |value - true number|, entry by entry; NaN where the value is NaN or infinite.

    Raises:
        ValueError: The shapes differ.
    """
    if values.shape != (matrix.nrows(), matrix.ncols()):
        raise ValueError(
            f"the values are {values.shape}, the enclosure {(matrix.nrows(), matrix.ncols())}"
        )
    flat = np.asarray(values, dtype=np.float64).ravel()
    errors = [
        float((arb(value) - ball).abs_upper()) if np.isfinite(value) else float("nan")
        for value, ball in zip(flat.tolist(), matrix.entries(), strict=True)
    ]
    return np.array(errors).reshape(values.shape)


def diagonal(entries: list[arb]) -> arb_mat:
    """The diagonal matrix of the given entries."""
    size = len(entries)
    matrix = arb_mat(size, size)
    for i, entry in enumerate(entries):
        matrix[i, i] = entry
    return matrix


def row(matrix: arb_mat, i: int) -> list[arb]:
    """Row i."""
    return [matrix[i, j] for j in range(matrix.ncols())]


def row_slice(matrix: arb_mat, where: slice) -> arb_mat:
    """The rows of a slice."""
    return arb_mat([row(matrix, i) for i in range(matrix.nrows())[where]])


def column_slice(matrix: arb_mat, where: slice) -> arb_mat:
    """The columns of a slice."""
    return arb_mat([row(matrix, i)[where] for i in range(matrix.nrows())])


def stack(matrices: list[arb_mat]) -> arb_mat:
    """The matrices stacked below one another."""
    entries = [x for matrix in matrices for x in matrix.entries()]
    return arb_mat(sum(m.nrows() for m in matrices), matrices[0].ncols(), entries)
