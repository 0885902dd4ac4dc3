"""Baselines behind the same interface: identity, diagonal, block-diagonal, empirical Fisher."""

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.dense import Dense
from refimpl.curvature.structured import StructuredCurvature
from refimpl.problem.problem import Problem
from refimpl.rows.matrices import gradient_matrices_in_pieces
from refimpl.rows.sweeps import sweeps_over

__all__ = ["BlockDiagonal", "Diagonal", "EmpiricalFisher", "Identity"]


class Diagonal(StructuredCurvature):
    """The diagonal of the Gauss-Newton Hessian, the rest set to zero.

    Args:
        problem: The problem.
        batch_size: Examples per pass; default: as many as fit in bounded memory.
        diagonal: The diagonal [P], where it is known already; then no data are passed over.

    Attributes:
        diagonal: The diagonal [P].
    """

    diagonal: Float[Tensor, " P"]

    def __init__(
        self,
        problem: Problem,
        *,
        batch_size: int | None = None,
        diagonal: Float[Tensor, " P"] | None = None,
    ) -> None:
        super().__init__(problem)
        if diagonal is not None:
            self.diagonal = diagonal
            return
        total = {
            b.name: problem.parameters.new_zeros(b.outputs, b.inputs) for b in problem.layout.blocks
        }
        for sweep in sweeps_over(problem, batch_size=batch_size):
            for name, g in sweep.gradients.items():
                for u in gradient_matrices_in_pieces(g, sweep.inputs[name]):
                    total[name] += (u**2).sum(dim=(0, 1))
        self.diagonal = problem.layout.flatten(total) / problem.num_examples

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """The diagonal times each row v."""
        return vectors * self.diagonal

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """Each row v over the damped diagonal."""
        return vectors / (self.diagonal + damping)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme entries of the diagonal."""
        del exact
        return float(self.diagonal.min()), float(self.diagonal.max())


class Identity(Diagonal):
    """The identity: influence becomes the dot product of gradients, over 1 + lambda."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem, diagonal=torch.ones_like(problem.parameters))


class BlockDiagonal(Dense):
    """The exact diagonal blocks of the Gauss-Newton Hessian, one per layer, the rest set to zero.

    Args:
        problem: The problem.
        batch_size: Examples per pass; default: as many as fit in bounded memory.
    """

    def __init__(self, problem: Problem, *, batch_size: int | None = None) -> None:
        new = problem.parameters.new_zeros
        total = {
            b.name: new(b.outputs * b.inputs, b.outputs * b.inputs) for b in problem.layout.blocks
        }
        for sweep in sweeps_over(problem, batch_size=batch_size):
            for name, g in sweep.gradients.items():
                for matrices in gradient_matrices_in_pieces(g, sweep.inputs[name]):
                    u = matrices.flatten(0, 1).flatten(1)
                    total[name].addmm_(u.T, u)
        blocks = [total[b.name] / problem.num_examples for b in problem.layout.blocks]
        super().__init__(problem, blocks)


class EmpiricalFisher(Dense):
    """The empirical Fisher (1/N) sum_n grad l_n grad l_n^T: labels from the data, so not the Fisher."""

    def __init__(self, problem: Problem) -> None:
        total = problem.parameters.new_zeros(problem.num_parameters, problem.num_parameters)
        for _, inputs, targets in problem.batches(problem.chunk(1)):
            gradients = problem.gradients(inputs, targets)
            total.addmm_(gradients.T, gradients)
        super().__init__(problem, [total / problem.num_examples])
