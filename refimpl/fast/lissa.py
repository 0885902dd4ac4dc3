"""LiSSA: inverse-vector products by a truncated Neumann series with minibatch curvature.

The recursion r_j = v + (I - (G_j + lambda I) / scale) r_{j-1} from r_0 = v, with the Gauss-Newton
Hessian G_j of a minibatch, and the answer r_J / scale (Agarwal et al. 2017, section 3; Koh & Liang
2017, section 3; on the damped GNH as the baseline of Grosse et al. 2023, section 5.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor
from torch.func import jvp, vjp, vmap

from refimpl.curvature.certificates import NotConverged
from refimpl.curvature.structured import StructuredCurvature
from refimpl.problem.data import Data, index, length
from refimpl.problem.problem import Problem
from refimpl.rows.matrices import gradient_matrices_in_pieces
from refimpl.rows.sweeps import sweeps_over

__all__ = ["LiSSA", "Trace"]


@dataclass(frozen=True)
class Trace:
    """Convergence of a solve: ||v - (G + lambda I) x_j|| / ||v|| with the G of all the data.

    Args:
        steps: The steps j at which it was looked at, 1, 2, 4, ... and the last [C].
        residuals: The relative residual of each repeat's own x_j = r_j / scale [R, C, k]; x = 0 has 1.
    """

    steps: Int[Tensor, " C"]
    residuals: Float[Tensor, "R C k"]


class LiSSA(StructuredCurvature):
    """The Gauss-Newton Hessian, known by its products alone and inverted by LiSSA.

    `solve` draws the same minibatches every time, so that the answer to a right-hand side depends
    neither on what else is solved nor on what was solved before. What it misses, the certificate
    tells: its residual is that of the Gauss-Newton Hessian of all the data.

    Args:
        problem: The problem.
        depth: J, the steps of the recursion. The error falls as (1 - lambda / scale)^J along the
            directions without curvature, so that J has to be several times scale / lambda.
        batch_size: Examples per step, drawn without replacement.
        generator: Source of the minibatches; one number is drawn from it.
        scale: Divisor of (G_j + lambda I); default: `stable_scale`, by damping.
        repeats: Independent recursions whose answers are averaged.
        tolerance: Bound on the backward error of a solve. The default says that an answer
            counts if it is exact for a matrix and a right-hand side that are 10 % off: the method
            is a Monte Carlo estimate, and asks for no digits.
        matrix: The Gauss-Newton Hessian of all the data, where it is known: products, residuals and the
            default scale then come from it. The recursion's own are those of its minibatches.

    Attributes:
        trace: How the last solve converged; None before the first.

    Raises:
        ValueError: A number out of range, or a batch larger than the data.
    """

    trace: Trace | None

    def __init__(
        self,
        problem: Problem,
        *,
        depth: int,
        batch_size: int,
        generator: Generator,
        scale: float | None = None,
        repeats: int = 1,
        tolerance: float = 0.1,
        matrix: Float[Tensor, "P P"] | None = None,
    ) -> None:
        super().__init__(problem)
        if matrix is not None and matrix.shape != (problem.num_parameters,) * 2:
            raise ValueError(
                f"matrix must be [P, P], P = {problem.num_parameters}; got {[*matrix.shape]}"
            )
        self._matrix = matrix
        if depth < 1 or repeats < 1:
            raise ValueError(f"depth and repeats must be >= 1, got {depth} and {repeats}")
        if not 1 <= batch_size <= problem.num_examples:
            raise ValueError(
                f"batch_size must lie in [1, {problem.num_examples}], the number of examples; "
                f"got {batch_size}"
            )
        if scale is not None and not 0.0 < scale < float("inf"):
            raise ValueError(f"scale must be a finite number > 0, got {scale}")
        if not 0.0 < tolerance < 1.0:
            raise ValueError(f"tolerance must lie in (0, 1), x = 0 having 1; got {tolerance}")
        self.problem = problem
        self.depth, self.batch_size, self.repeats = depth, batch_size, repeats
        self.scale = scale
        self.trace = None
        self._tolerance = tolerance
        self._seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        self._largest: float | None = None
        self._sharpest: float | None = None

    @property
    def tolerance(self) -> float:
        """Bound on the backward error of a solve."""
        return self._tolerance

    def stable_scale(self, damping: float) -> float:
        """The least scale at which the recursion is sure to be stable in mean square.

        With A = G + lambda I, B examples drawn from N without replacement and L = max_n tr G_n, the
        minibatch's variance is E (G_j - G)^2 = c / B (mean_n G_n^2 - G^2) <= (c L / B) G, where
        c = (N - B) / (N - 1). Hence E (I - A_j / s)^2 <= I - A / s as soon as
        s >= lambda_max(G) + lambda + c L / B: the mean square of the recursion's homogeneous part falls
        by 1 - (lambda_min + lambda) / s a step. (The step sizes of Klochkov & Liu 2024, by trace and
        largest eigenvalue, follow the same way.)

        Args:
            damping: lambda.
        """
        examples, batch = self.problem.num_examples, self.batch_size
        noise = 0.0
        if batch < examples:
            if self._sharpest is None:
                self._sharpest = float(_traces(self.problem).max())
            noise = (examples - batch) / (examples - 1) * self._sharpest / batch
        # Lanczos gives the largest eigenvalue to 0.1 %, from below.
        return 1.001 * self.spectrum()[1] + damping + noise

    def minibatches(self) -> Iterator[Iterator[Int[Tensor, " B"]]]:
        """The examples of every step of every repeat, the same at every call."""
        generator = Generator().manual_seed(self._seed)
        count, device = self.problem.num_examples, self.parameters.device
        for _ in range(self.repeats):
            yield (
                torch.randperm(count, generator=generator)[: self.batch_size].to(device)
                for _ in range(self.depth)
            )

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """G v for each row v, with the G of all the data."""
        if self._matrix is not None:
            return vectors @ self._matrix
        total = torch.zeros_like(vectors)
        for _, inputs, targets in self.problem.batches(self.problem.chunk(1)):
            total += _product(self.problem, inputs, targets, vectors) * len(targets)
        return total / self.problem.num_examples

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """The mean of the recursions' answers for each row v; `trace` tells how they converged."""
        scale = self.stable_scale(damping) if self.scale is None else self.scale
        total = torch.zeros_like(vectors)
        residuals: list[Tensor] = []
        for minibatches in self.minibatches():
            r, seen = self._recursion(vectors, damping, scale, minibatches)
            total += r / scale
            residuals.append(seen)
        self.trace = Trace(self._checkpoints(), torch.stack(residuals))
        return total / self.repeats

    def _recursion(
        self,
        v: Float[Tensor, "k P"],
        damping: float,
        scale: float,
        minibatches: Iterator[Int[Tensor, " B"]],
    ) -> tuple[Float[Tensor, "k P"], Float[Tensor, "C k"]]:
        """r_J, and the relative residual at every checkpoint."""
        problem, checkpoints = self.problem, set(self._checkpoints().tolist())
        residuals: list[Tensor] = []
        r = v
        for step, chosen in enumerate(minibatches, start=1):
            inputs, targets = index(problem.inputs, chosen), problem.targets[chosen]
            r = v + r - (_product(problem, inputs, targets, r) + damping * r) / scale
            if step in checkpoints:
                residual = (v - self.apply_damped(r / scale, damping)).norm(dim=1)
                size = v.norm(dim=1)
                residuals.append(torch.where(residual == 0, residual, residual / size))
                self._require_stable(float(residuals[-1].max()), step, damping, scale)
        return r, torch.stack(residuals)

    def _require_stable(self, residual: float, step: int, damping: float, scale: float) -> None:
        """Raise where the residual is one that a stable recursion does not have.

        At `stable_scale` s the error e_j of x_j = r_j / s has, with x = A^-1 v,
        E ||e_j||^2 <= (1 - lambda / 2 s) E ||e_{j-1}||^2 + (3 / s) x^T A x, hence at every step
        E ||e_j||^2 <= 7 x^T A x / lambda <= 7 ||v||^2 / lambda^2, and E ||A e_j||^2 <= 7 kappa^2 ||v||^2:
        by Chebyshev's inequality 300 kappa is passed less than once in 10,000.
        """
        kappa = (self.spectrum()[1] + damping) / damping
        if not residual <= 300 * kappa:  # nor if it is NaN
            raise NotConverged(
                f"LiSSA diverges: after {step} of {self.depth} steps the residual is {residual:.1e} "
                f"times the right-hand side, with scale {scale:.3g}. Use a scale of "
                f"{self.stable_scale(damping):.3g} (the default for batches of {self.batch_size}) or "
                "a larger batch_size"
            )

    def _checkpoints(self) -> Int[Tensor, " C"]:
        """1, 2, 4, ... and the last step: their full products cost log2(depth) passes of the data."""
        powers = [2**i for i in range(self.depth.bit_length())]
        return torch.tensor(sorted({*powers, self.depth}))

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """(0, the largest to 0.1 %): without the matrix the smallest eigenvalue is not known.

        Args:
            exact: Without effect; a damping of 0 is therefore always refused.
        """
        del exact
        if self._largest is None:
            self._largest = self.estimated_norm()
        return 0.0, self._largest


def _product(
    problem: Problem,
    inputs: Data,
    targets: Shaped[Tensor, "B ..."],
    vectors: Float[Tensor, "k P"],
) -> Float[Tensor, "k P"]:
    """G v = mean_n J_n^T H_n J_n v over a batch, for each row v: forward, output Hessian, backward."""
    outputs, transposed, *_ = vjp(partial(problem.outputs, inputs), problem.parameters)
    H = problem.loss.hessian(outputs, targets) / len(targets)
    chunk = problem.chunk(length(inputs))
    Jv = vmap(partial(_pushed, problem, inputs), chunk_size=chunk)(vectors)
    tokens = Jv.reshape(-1, *H.shape[:-1])
    HJv = torch.einsum("ntij,kntj->knti", H, tokens).reshape(Jv.shape)
    return vmap(lambda u: transposed(u)[0], chunk_size=chunk)(HJv)


def _pushed(problem: Problem, inputs: Data, v: Float[Tensor, " P"]) -> Float[Tensor, "B ..."]:
    return jvp(partial(problem.outputs, inputs), (problem.parameters,), (v,))[1]


def _traces(problem: Problem) -> Float[Tensor, " N"]:
    """Trace of G_n for every example, which bounds its largest eigenvalue."""
    total = problem.parameters.new_zeros(problem.num_examples)
    for sweep in sweeps_over(problem):
        for name, g in sweep.gradients.items():
            squares = [
                (u**2).sum(dim=(0, 2, 3))
                for u in gradient_matrices_in_pieces(g, sweep.inputs[name])
            ]
            total[sweep.place] += torch.cat(squares)
    return total
