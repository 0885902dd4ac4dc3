"""A matrix given entry by entry, and Cholesky's factors of it."""

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.spectra import largest_eigenvalue
from refimpl.curvature.structured import StructuredCurvature
from refimpl.problem.problem import Problem

__all__ = ["Dense", "cholesky", "cholesky_solve"]


class Dense(StructuredCurvature):
    """A symmetric matrix given entry by entry, possibly as diagonal blocks.

    Args:
        problem: The problem.
        blocks: Square symmetric matrices that stand one after the other on the diagonal and fill it.
        positive: Whether they are known to be positive semidefinite, as a GNH is and a Hessian is not.

    Raises:
        ValueError: The blocks do not fill the diagonal.
    """

    def __init__(
        self, problem: Problem, blocks: list[Float[Tensor, "_B _B"]], *, positive: bool = True
    ) -> None:
        super().__init__(problem)
        sizes = [len(block) for block in blocks]
        if sum(sizes) != self.num_parameters:
            raise ValueError(f"blocks of sizes {sizes} do not fill P={self.num_parameters}")
        self.blocks = blocks
        self.positive = positive
        self._sizes = sizes
        self._range: tuple[float, float] | None = None
        self._exact_range: tuple[float, float] | None = None
        self._factors: tuple[float, list[tuple[Tensor, Tensor | None]]] | None = None

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """H v for each row v, block by block."""
        parts = vectors.split(self._sizes, dim=-1)
        return torch.cat([v @ block for v, block in zip(parts, self.blocks, strict=True)], dim=-1)

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix itself."""
        return torch.block_diag(*self.blocks)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(H + damping I)^-1 v for each row v, by factors kept for the last damping."""
        if self._factors is None or self._factors[0] != damping:
            self._factors = (damping, [_factor(block, damping) for block in self.blocks])
        parts = vectors.split(self._sizes, dim=-1)
        solved: list[Tensor] = []
        for v, (factor, pivots) in zip(parts, self._factors[1], strict=True):
            if pivots is None:
                solved.append(cholesky_solve(factor, v.mT).mT)
            else:
                solved.append(torch.linalg.lu_solve(factor, pivots, v.mT).mT)
        return torch.cat(solved, dim=-1)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme eigenvalues; for a positive matrix (0, the largest to 0.1 %) unless `exact`."""
        if exact or not self.positive:
            if self._exact_range is None:
                values = [torch.linalg.eigvalsh(block) for block in self.blocks]
                self._exact_range = (
                    min(float(v[0]) for v in values),
                    max(float(v[-1]) for v in values),
                )
            return self._exact_range
        if self._range is None:
            self._range = 0.0, max(largest_eigenvalue(block) for block in self.blocks)
        return self._range


def _factor(block: Float[Tensor, "B B"], damping: float) -> tuple[Tensor, Tensor | None]:
    """Cholesky factor of block + damping I, or LU factors with pivots where that is indefinite."""
    factor = cholesky(block, damping)
    if factor is not None:
        return factor, None
    lu, pivots = torch.linalg.lu_factor(block + damping * torch.eye(len(block)).to(block))
    return lu, pivots


def cholesky(matrix: Float[Tensor, "B B"], damping: float) -> Float[Tensor, "B B"] | None:
    """Cholesky's lower factor of a symmetric matrix + damping I, or None where that is not positive.

    It holds one matrix besides the one given: LAPACK works on columns, and would copy rows.
    """
    damped = matrix.clone(memory_format=torch.contiguous_format)
    damped.diagonal().add_(damping)
    columns = damped.mT  # the same matrix, since it is symmetric
    info = torch.empty((), dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(columns, out=(columns, info))
    return columns if int(info) == 0 else None


def cholesky_solve(factor: Float[Tensor, "B B"], b: Float[Tensor, "B k"]) -> Float[Tensor, "B k"]:
    """(L L^T)^-1 b; torch.cholesky_solve gives the same digits, and copies the factor.

    Args:
        factor: L, from `cholesky`.
        b: Columns b.
    """
    y = torch.linalg.solve_triangular(factor, b, upper=False)
    return torch.linalg.solve_triangular(factor.mT, y, upper=True)
