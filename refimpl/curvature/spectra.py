"""Largest eigenvalues, the scale of certificates."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["lanczos", "largest_absolute_eigenvalue", "largest_eigenvalue"]

DENSE = 256  # up to this size all eigenvalues are computed


def largest_eigenvalue(block: Float[Tensor, "B B"]) -> float:
    """The largest eigenvalue of a positive semidefinite matrix, by Lanczos to 0.1 %."""
    if len(block) <= DENSE:
        return float(torch.linalg.eigvalsh(block)[-1])
    return lanczos(lambda v: block @ v, block[0])


def largest_absolute_eigenvalue(matrix: Float[Tensor, "B B"]) -> float:
    """The spectral norm of a symmetric matrix, by Lanczos to 0.1 %."""
    if len(matrix) <= DENSE:
        return float(torch.linalg.eigvalsh(matrix).abs().max())
    return abs(lanczos(lambda v: matrix @ v, matrix[0], which="LM"))


def lanczos(
    product: Callable[[Float[Tensor, " P"]], Float[Tensor, " P"]],
    like: Float[Tensor, " P"],
    which: Literal["LA", "LM"] = "LA",
) -> float:
    """The largest eigenvalue of a symmetric operator, to 0.1 %.

    Args:
        product: The operator's product with a vector.
        like: A vector of its length, dtype and device.
        which: ARPACK's word for the largest, or for that of largest absolute value.
    """

    def matvec(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(v.ravel()).to(like)).cpu().numpy().astype(np.float64)

    size = len(like)
    start = np.random.default_rng(0).standard_normal(size)
    if not matvec(start).any():  # ARPACK refuses the zero matrix
        return 0.0
    operator = scipy.sparse.linalg.LinearOperator((size, size), matvec=matvec, dtype=np.float64)  # pyright: ignore
    options: dict[str, Any] = {"k": 1, "which": which, "v0": start, "tol": 1e-3}
    return float(scipy.sparse.linalg.eigsh(operator, **options, return_eigenvectors=False)[0])
