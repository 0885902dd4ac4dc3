"""The Gauss-Newton Hessian through its kernel of pairs of examples, never forming a P x P matrix.

With the vectors u_nk of `layer_rows` over sqrt(N) as the rows of U [N K, P], G = U^T U, and by Woodbury
(G + lambda I)^-1 = (I - U^T (U U^T + lambda I)^-1 U) / lambda: a matrix of size N K is factored, whatever
P is. Nor is U formed: u = sum_r g_r a_r^T gives U v from the layers' inputs and gradients, and for a
layer with one position u . u' = (g . g') (a . a').
"""

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl import rows
from refimpl.curvature.dense import cholesky, cholesky_solve
from refimpl.curvature.spectra import largest_eigenvalue
from refimpl.curvature.structured import StructuredCurvature
from refimpl.exact.assembly import mirror, tiles
from refimpl.problem import memory
from refimpl.problem.problem import Problem
from refimpl.rows.matrices import gradient_matrices
from refimpl.rows.sweeps import layer_rows

__all__ = ["Kernel"]

PANEL = 2**10  # rows of the kernel computed at once


class Kernel(StructuredCurvature):
    """G = U^T U, solved through U U^T.

    Memory is that of the kernel and its factor, 2 (N K)^2 numbers, and of all layers' inputs and
    gradients, N R (I + K O) a block; K counts the directions of an example: T (C - 1) for a softmax, else
    T C, and T H where a frozen last layer is H wide and narrower.
    """

    refinements = 2  # the difference I - U^T ... cancels where lambda is small

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        parts = list(layer_rows(problem, _examples_per_pass(problem)))
        scale = problem.num_examples**0.5
        names = [b.name for b in self.layout.blocks]
        self._a = {name: torch.cat([part.inputs[name] for part in parts]) for name in names}
        self._g = {  # [N, K, R, O]
            name: torch.cat([part.gradients[name].transpose(0, 1) for part in parts]) / scale
            for name in names
        }
        del parts
        self.kernel: Float[Tensor, "M M"] = self._gram()
        self._largest: float | None = None
        self._factor: tuple[float, Tensor] | None = None

    def _gram(self) -> Float[Tensor, "M M"]:
        """U U^T, rows ordered by example, then direction; its lower half, mirrored."""
        examples, directions = next(iter(self._g.values())).shape[:2]
        size = examples * directions
        total = self.parameters.new_zeros(size, size)
        for name, a in self._a.items():
            g = self._g[name]
            if a.shape[1] == 1:
                self._add_products(total, a[:, 0], g[:, :, 0])
                continue
            # Several positions: U itself, a band of columns (some rows o of the matrices) at a time.
            band = max(1, memory.KERNEL // (size * a.shape[2]))
            for part in g.split(band, dim=3):
                u = gradient_matrices(part, a[:, None]).reshape(size, -1)
                for panel in tiles(size, PANEL):
                    total[panel, : panel.stop].addmm_(u[panel], u[: panel.stop].T)
        mirror(total.T)
        return total

    def _add_products(
        self, total: Float[Tensor, "M M"], a: Float[Tensor, "N I"], g: Float[Tensor, "N K O"]
    ) -> None:
        """Add (g . g') (a . a') for the pairs of a panel of examples with all up to it."""
        directions = g.shape[1]
        for panel in tiles(len(a), max(1, PANEL // directions)):
            pairs = g[panel].flatten(0, 1) @ g[: panel.stop].flatten(0, 1).T
            pairs = pairs.view(-1, directions, panel.stop, directions)
            pairs *= (a[panel] @ a[: panel.stop].T)[:, None, :, None]
            within = slice(panel.start * directions, panel.stop * directions)
            total[within, : within.stop] += pairs.view(within.stop - within.start, -1)

    def _times(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k M"]:
        """U v for each row v."""
        examples, directions = next(iter(self._g.values())).shape[:2]
        total = vectors.new_zeros(examples, directions, len(vectors))
        for name, V in self.layout.matrices(vectors).items():
            a, g = self._a[name], self._g[name]
            moved = a.new_empty(len(V), examples, *g.shape[2:])  # V a of every position
            for one, matrix in zip(moved, V, strict=True):
                torch.mm(a.flatten(0, 1), matrix.T, out=one.flatten(0, 1))
            total.baddbmm_(g.flatten(2), moved.flatten(2).permute(1, 2, 0))
        return total.flatten(0, 1).T

    def _transposed(
        self, y: Float[Tensor, "k M"], out: Float[Tensor, "k P"]
    ) -> Float[Tensor, "k P"]:
        """U^T y for each row y, written into `out`."""
        for name, V in self.layout.matrices(out).items():
            a, g = self._a[name], self._g[name]
            weights = y.unflatten(1, g.shape[:2]).transpose(0, 1)
            summed = (weights @ g.flatten(2)).unflatten(2, g.shape[2:])  # [N, k, R, O]
            for one, matrix in zip(summed.unbind(1), V, strict=True):
                torch.mm(one.flatten(0, 1).T, a.flatten(0, 1), out=matrix)
        return out

    def _few(self, vectors: Float[Tensor, "k P"]) -> tuple[Tensor, ...]:
        """Right-hand sides in groups whose intermediate products fit the budget."""
        moved = max(g.shape[0] * g.shape[2] * g.shape[3] for g in self._g.values())
        return vectors.split(max(1, memory.KERNEL // (2 * moved + self.num_parameters)))

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """U^T (U v) for each row v."""
        products = torch.empty_like(vectors)
        for v, out in zip(self._few(vectors), self._few(products), strict=True):
            self._transposed(self._times(v), out)
        return products

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(v - U^T (U U^T + damping I)^-1 U v) / damping for each row v."""
        if damping == 0.0:
            raise ValueError(
                "the dual route divides by the damping: use a damping > 0 or method='primal'"
            )
        factor = self._factored(damping)
        solutions = torch.empty_like(vectors)
        for b, out in zip(self._few(vectors), self._few(solutions), strict=True):
            y = cholesky_solve(factor, self._times(b).T).T
            self._transposed(y, out).neg_().add_(b).div_(damping)
        return solutions

    def _factored(self, damping: float) -> Float[Tensor, "M M"]:
        """Cholesky's factor of U U^T + lambda I: symmetric, and positive where it is to rounding."""
        if self._factor is None or self._factor[0] != damping:
            self._factor = None  # before its successor is made: each is as large as the kernel
            factor = cholesky(self.kernel, damping)
            if factor is None:
                raise ValueError(
                    f"the damping {damping:.1e} is lost in the roundings of a kernel of norm "
                    f"{self.spectrum()[1]:.1e}: use a larger damping, dtype=torch.float64 or "
                    "method='primal'"
                )
            self._factor = damping, factor
        return self._factor[1]

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme eigenvalues: those of the kernel, and 0 where it is smaller than P x P."""
        if exact and len(self.kernel) >= self.num_parameters:
            values = torch.linalg.eigvalsh(self.kernel)
            return max(0.0, float(values[-self.num_parameters])), float(values[-1])
        if self._largest is None:
            self._largest = largest_eigenvalue(self.kernel)
        return 0.0, self._largest


def _examples_per_pass(problem: Problem) -> int:
    size = rows.of(problem)
    each = sum(size.positions[b.name] * b.outputs for b in problem.layout.blocks)
    return max(1, memory.KERNEL // (size.directions * each))
