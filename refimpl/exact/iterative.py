"""The Gauss-Newton Hessian as an operator: products by differentiation, solves by conjugate gradients.

Neither a P x P nor an N K x N K matrix is formed, nor anything taken from the layers' inputs: memory is
that of a few vectors [P] per right-hand side and of the activations of a batch.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jvp, vjp, vmap

from refimpl.curvature.certificates import Solution
from refimpl.curvature.curvature import Curvature
from refimpl.curvature.structured import StructuredCurvature
from refimpl.problem import memory
from refimpl.problem.problem import Problem

__all__ = ["Iterative", "conjugate_gradients"]

Operator = Callable[[Float[Tensor, "k P"]], Float[Tensor, "k P"]]


def conjugate_gradients(
    product: Operator,
    b: Float[Tensor, "k P"],
    *,
    precondition: Operator | None = None,
    norm: float,
    goal: float,
    max_iterations: int,
) -> tuple[Float[Tensor, "k P"], Int[Tensor, " k"]]:
    """Solve A x = b for several right-hand sides side by side, each with its own steps.

    Preconditioned conjugate gradients (Hestenes & Stiefel 1952; Saad 2003, algorithm 9.1), stopped by
    the backward error of the residual that the recurrence keeps, which rounding may set apart from
    the true one.

    Args:
        product: A v, for a symmetric positive definite A.
        b: Right-hand sides [k, P].
        precondition: M^-1 v, symmetric positive definite; None: the identity.
        norm: ||A||_2.
        goal: Stop a right-hand side at ||r|| <= goal (||A|| ||x|| + ||b||).
        max_iterations: Products allowed.

    Returns:
        Solutions [k, P], and how many steps each took [k].
    """
    x, r = torch.zeros_like(b), b.clone()
    z = r if precondition is None else precondition(r)
    d = z.clone()
    rz = (r * z).sum(dim=1)
    size = b.norm(dim=1)
    steps = torch.zeros(len(b), dtype=torch.long, device=b.device)
    live = torch.nonzero(rz > 0)[:, 0]
    for _ in range(max_iterations):
        if len(live) == 0:
            break
        Ad = product(d[live])
        curvature = (d[live] * Ad).sum(dim=1)
        # One that is not positive says that rounding has spent the direction: no step along it.
        going = curvature > 0
        live, Ad, curvature = live[going], Ad[going], curvature[going]
        alpha = (rz[live] / curvature)[:, None]
        x[live] += alpha * d[live]
        r[live] -= alpha * Ad
        steps[live] += 1
        far = r[live].norm(dim=1) > goal * (norm * x[live].norm(dim=1) + size[live])
        live = live[far]
        z = r[live] if precondition is None else precondition(r[live])
        new = (r[live] * z).sum(dim=1)
        d[live] = z + (new / rz[live])[:, None] * d[live]
        rz[live] = new
    return x, steps


class Iterative(StructuredCurvature):
    """G v = (1/N) sum_n J_n^T H_n J_n v by a forward and a backward derivative a batch.

    A solve that `max_iterations` do not finish is flagged by its certificate.

    Args:
        problem: The problem.
        preconditioner: Curvature whose damped inverse preconditions; measure whether it helps.
        max_iterations: Steps of conjugate gradients per right-hand side and refinement.
        inner: Precision of the steps, torch.float32 for mixed precision: the residual that the
            refinements and the certificate see is in the problem's own.

    Attributes:
        iterations: Steps of the last solve, of the slowest right-hand side of each refinement.
    """

    refinements = 4

    def __init__(
        self,
        problem: Problem,
        *,
        preconditioner: Curvature | None = None,
        max_iterations: int = 1000,
        inner: torch.dtype | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.preconditioner = preconditioner
        self.max_iterations = max_iterations
        self.iterations = 0
        self._low: Problem | None = None
        if inner not in (None, problem.dtype):
            names = [layer.name for layer in problem.layout.layers]
            low = Problem(
                problem.model, problem.loss, problem.inputs, problem.targets, names, dtype=inner
            )
            self._low = low
            self.refinements = 12  # each brings about four digits more
        self._largest: float | None = None

    def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Solution:
        """(G + damping I)^-1 v with a certificate; counts its steps in `iterations`."""
        self.iterations = 0
        return super().solve(vectors, damping)

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """G v for each row v, by differentiation."""
        return gauss_newton_product(self.problem, vectors)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(G + damping I)^-1 v for each row v, by conjugate gradients."""
        if damping == 0.0:
            raise ValueError(
                "the iterative route knows no smallest eigenvalue: use a damping > 0 or "
                "method='primal'"
            )
        problem = self._low or self.problem
        # Residuals under the smallest normal float32 would vanish: unit vectors instead.
        norms = vectors.norm(dim=1, keepdim=True)
        b = (vectors / norms.clamp(min=torch.finfo(vectors.dtype).tiny)).to(problem.dtype)
        inverse = self.preconditioner

        def precondition(v: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
            assert inverse is not None
            return inverse.solve_uncertified(v.to(inverse.parameters.dtype), damping).to(v.dtype)

        x, steps = conjugate_gradients(
            lambda v: gauss_newton_product(problem, v).add_(v, alpha=damping),
            b,
            precondition=None if inverse is None else precondition,
            norm=self.spectrum()[1] + damping,
            goal=max(self.tolerance / 20, torch.finfo(problem.dtype).eps),
            max_iterations=self.max_iterations,
        )
        self.iterations += max(steps.tolist(), default=0)
        return x.to(vectors.dtype) * norms

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """(0, the largest eigenvalue to 0.1 %): the smallest is not looked for."""
        del exact
        if self._largest is None:
            self._largest = self.estimated_norm()
        return 0.0, self._largest


def gauss_newton_product(problem: Problem, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
    """(1/N) sum_n J_n^T H_n J_n v for each row v (Schraudolph 2002), a batch of examples at a time.

    Args:
        problem: The problem.
        vectors: Vectors v [k, P].
    """
    total = torch.zeros_like(vectors)
    for _, inputs, targets in problem.batches(max(1, memory.PRODUCTS // problem.activations)):

        def f(theta: Float[Tensor, " P"], x: object = inputs) -> Float[Tensor, "N ..."]:
            return problem.outputs(x, theta)  # type: ignore[arg-type]

        outputs, pull, *_ = vjp(f, problem.parameters)
        at = outputs.detach(), targets

        def product(v: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
            moved = jvp(f, (problem.parameters,), (v,))[1]
            return pull(problem.loss.hessian_product(*at, moved))[0]  # noqa: B023

        total += vmap(product, chunk_size=problem.chunk(2 * len(outputs)))(vectors)
    return total / problem.num_examples
