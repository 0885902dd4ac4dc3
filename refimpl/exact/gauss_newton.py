"""The Gauss-Newton Hessian and its blocks, exact but quick, and certified solves with it."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature import Curvature, Dense
from refimpl.exact.assembly import assemble
from refimpl.exact.kernel import Kernel
from refimpl.problem import Problem

__all__ = ["GaussNewton"]

PRIMAL = 2**14  # the largest P whose P x P matrix is formed unasked


class GaussNewton(Curvature):
    """The exact Gauss-Newton Hessian of a problem (Grosse et al. 2023, eq. 8).

    Args:
        problem: The problem.
        method: "primal" forms the P x P matrix and factors it by Cholesky; "dual" factors the matrix
            of size N times the outputs of an example instead, and never forms a P x P one; "auto"
            is primal up to P = 16,384 (2 GiB) and beyond it whichever matrix is the smaller.

    Raises:
        ValueError: Unknown method.
    """

    def __init__(
        self, problem: Problem, method: Literal["auto", "primal", "dual"] = "auto"
    ) -> None:
        if method not in ("auto", "primal", "dual"):
            raise ValueError(f"method must be 'auto', 'primal' or 'dual', got {method!r}")
        super().__init__(problem)
        if method == "auto":
            outputs = problem.outputs(problem.examples_up_to(1)[0]).numel() * problem.num_examples
            small = problem.num_parameters <= max(PRIMAL, outputs)
            method = "primal" if small else "dual"
        self.method: str = method
        self._route: Curvature = (
            Dense(problem, [assemble(problem)]) if method == "primal" else Kernel(problem)
        )
        self.refinements = self._route.refinements

    def __repr__(self) -> str:
        return f"GaussNewton(P={self.num_parameters}, method={self.method!r})"

    def _apply(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        return self._route._apply(vectors)

    def _solve(self, vectors: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        return self._route._solve(vectors, damping)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme eigenvalues; (0, the largest to 0.1 %) unless `exact`."""
        return self._route.spectrum(exact=exact)

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix itself."""
        return self._route.dense()

    def block(self, name: str) -> Float[Tensor, "B B"]:
        """The diagonal block of one layer, [O I, O I].

        Args:
            name: The block's name in `problem.layout.blocks`.

        Raises:
            ValueError: No block has that name.
        """
        for block in self.layout.blocks:
            if block.name == name:
                if isinstance(self._route, Dense):
                    return self._route.blocks[0][block.slice, block.slice]
                columns = torch.eye(self.num_parameters, dtype=self._like.dtype)[block.slice]
                return self._route._apply(columns.to(self._like))[:, block.slice]
        raise ValueError(f"no block {name!r}: blocks are {[b.name for b in self.layout.blocks]}")
