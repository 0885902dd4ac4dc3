"""The Gauss-Newton Hessian and its blocks, exact but quick, and certified solves with it."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from refimpl.capture import matrices, sweeps
from refimpl.curvature import Dense
from refimpl.problem import Problem

__all__ = ["GaussNewton"]


def assemble(problem: Problem) -> Float[Tensor, "P P"]:
    """G = (1/N) sum_n sum_k u_nk u_nk^T, with u_nk = J_n^T R_n e_k and R_n R_n^T = H_n.

    The vectors u are sums over positions of g a^T, so that one backward pass per direction k
    serves all examples and no Jacobian in the parameters is ever taken.

    Args:
        problem: The problem.
    """
    size = problem.num_parameters
    total = problem.parameters.new_zeros(size, size)
    for sweep in sweeps(problem, fisher="exact"):
        u = problem.layout.flatten(
            {name: matrices(g, sweep.inputs[name]) for name, g in sweep.gradients.items()}
        ).reshape(-1, size)
        total.addmm_(u.T, u)
    return total / problem.num_examples


class GaussNewton(Dense):
    """The exact Gauss-Newton Hessian of a problem (Grosse et al. 2023, eq. 8).

    Args:
        problem: The problem.
        method: "primal" forms the P x P matrix and factors it by Cholesky; "auto" chooses.

    Raises:
        ValueError: Unknown method.
    """

    def __init__(self, problem: Problem, method: Literal["auto", "primal"] = "auto") -> None:
        if method not in ("auto", "primal"):
            raise ValueError(f"method must be 'auto' or 'primal', got {method!r}")
        super().__init__(problem, [assemble(problem)])

    def block(self, name: str) -> Float[Tensor, "B B"]:
        """The diagonal block of one layer, [O I, O I].

        Args:
            name: The block's name in `problem.layout.blocks`.

        Raises:
            ValueError: No block has that name.
        """
        for block in self.layout.blocks:
            if block.name == name:
                return self.blocks[0][block.slice, block.slice]
        raise ValueError(f"no block {name!r}: blocks are {[b.name for b in self.layout.blocks]}")
