"""Curvature: apply, solve, dense. The one interface of every matrix here, and what a solve certifies."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from refimpl.curvature.spectra import DENSE, lanczos, largest_eigenvalue
from refimpl.problem import checks
from refimpl.problem.layout import ParameterLayout
from refimpl.problem.problem import Problem

__all__ = ["Certificate", "Curvature", "Eigenbasis", "NotConverged", "Solution"]

# (Q_A, Q_S, D) per block, so that a matrix acts on V [O, I] as Q_S (D * (Q_S^T V Q_A)) Q_A^T.
Eigenbasis = dict[
    str, tuple[Float[Tensor, "_I _I"], Float[Tensor, "_O _O"], Float[Tensor, "_O _I"]]
]


class NotConverged(RuntimeError):
    """An answer missed its tolerance."""


@dataclass(frozen=True)
class Certificate:
    """How good a solve of (H + lambda I) x = b is, one entry per right-hand side.

    Args:
        residual: ||b - (H + lambda I) x||_2.
        backward_error: The normwise backward error of Rigal & Gaches (1967),
            ||r|| / (||H + lambda I||_2 ||x|| + ||b||).
        forward_error_bound: Bound on ||x - x*|| / ||x*||, from eta and the condition number kappa:
            2 kappa eta / (1 - kappa eta) (Higham 2002, theorem 7.2); infinite where it says nothing.
        tolerance: What the backward error must not exceed.
    """

    residual: Float[Tensor, "*k"]
    backward_error: Float[Tensor, "*k"]
    forward_error_bound: Float[Tensor, "*k"]
    tolerance: float

    @property
    def converged(self) -> Bool[Tensor, "*k"]:
        """Which right-hand sides met the tolerance; NaN does not."""
        return self.backward_error <= self.tolerance

    def require(self) -> None:
        """Raise unless every answer met its tolerance.

        Raises:
            NotConverged: Some backward error exceeds the tolerance.
        """
        missed = int((~self.converged).sum())
        if missed:
            worst = float(self.backward_error.max())
            raise NotConverged(
                f"{missed} of {self.converged.numel()} solves missed their tolerance: worst "
                f"backward error {worst:.1e}, tolerance {self.tolerance:.1e}. Use a larger damping, "
                "dtype=torch.float64, or a looser tolerance"
            )


@dataclass(frozen=True)
class Solution:
    """The answer x of (H + lambda I) x = b with its certificate."""

    value: Float[Tensor, "*k P"]
    certificate: Certificate


class Curvature(ABC):
    """A symmetric P x P matrix H that stands for the curvature of a problem.

    Args:
        problem: The problem, which gives the layout, dtype and device.
    """

    # Steps of iterative refinement that a solve may take where its backward error is not small.
    refinements = 0

    def __init__(self, problem: Problem) -> None:
        self.layout: ParameterLayout = problem.layout
        self.num_parameters = problem.num_parameters
        self._like: Tensor = problem.parameters

    @abstractmethod
    def _apply(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """H v for each row v."""

    @abstractmethod
    def _solve(self, vectors: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        """(H + damping I)^-1 v for each row v."""

    @abstractmethod
    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of H.

        Args:
            exact: Whether a lower bound will not do for the smallest, nor 0.1 % for the largest.
        """

    def apply(self, vectors: Float[Tensor, "*k P"]) -> Float[Tensor, "*k P"]:
        """H v.

        Args:
            vectors: Vectors v [..., P].

        Returns:
            Products [..., P].
        """
        checks.vectors(vectors, self.num_parameters, self._like)
        return self._apply(vectors.reshape(-1, self.num_parameters)).reshape(vectors.shape)

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix H itself."""
        eye = torch.eye(self.num_parameters, dtype=self._like.dtype, device=self._like.device)
        return self._apply(eye)

    def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Solution:
        """(H + damping I)^-1 v with a certificate.

        Args:
            vectors: Right-hand sides v [..., P].
            damping: lambda >= 0, absolute; 0 only where H is not singular.

        Raises:
            ValueError: The damping is negative, or zero on a (numerically) singular matrix.
        """
        checks.vectors(vectors, self.num_parameters, self._like)
        damping, low, high = self._invertible(damping)
        flat = vectors.reshape(-1, self.num_parameters)
        x = self._solve(flat, damping)
        residual = self._damped(x, damping).neg_().add_(flat)
        certificate = self._certify(flat, x, residual, damping, low, high)
        for _ in range(self.refinements):
            poor = certificate.backward_error > self.tolerance / 10
            if not bool(poor.any()):
                break
            x[poor] += self._solve(residual[poor], damping)
            residual[poor] = flat[poor] - self._damped(x[poor], damping)
            certificate = self._certify(flat, x, residual, damping, low, high)
        shape = vectors.shape[:-1]
        return Solution(
            x.reshape(vectors.shape),
            Certificate(
                certificate.residual.reshape(shape),
                certificate.backward_error.reshape(shape),
                certificate.forward_error_bound.reshape(shape),
                certificate.tolerance,
            ),
        )

    def inverse_eigenbasis(self, damping: float) -> Eigenbasis | None:
        """(Q_A, Q_S, D) per block where (H + damping I)^-1 is diagonal in a Kronecker basis, else None.

        None as well of a subclass that solves in a way of its own.

        Args:
            damping: As for `solve`.

        Raises:
            ValueError: As for `solve`.
            NotConverged: The basis is not orthonormal to rounding, or the inverse overflows.
        """
        damping, _, _ = self._invertible(damping)
        for kind in type(self).__mro__:
            if "_inverse_eigenbasis" in vars(kind):
                break
            if vars(kind).keys() & {"solve", "_solve", "_apply", "_damped"}:
                return None
        basis = self._inverse_eigenbasis(damping)
        for name, (Q_A, Q_S, D) in (basis or {}).items():
            if not bool(torch.isfinite(D).all()):
                raise NotConverged(
                    f"block {name}: an eigenvalue + {damping:g} has no finite inverse"
                )
            for Q in (Q_A, Q_S):
                defect = float((Q.mT @ Q - torch.eye(len(Q)).to(Q)).norm())
                # An eigensolver's is a modest multiple of n u; float32's in float64 would be 1e8 u.
                if not defect <= 30 * len(Q) * self._unit:
                    raise NotConverged(
                        f"block {name}: its eigenvectors are orthonormal to {defect:.1e} only. Were they "
                        "saved in a lower dtype? Fit them anew"
                    )
        return basis

    def _inverse_eigenbasis(self, damping: float) -> Eigenbasis | None:
        del damping

    def _invertible(self, damping: float) -> tuple[float, float, float]:
        """The damping, and the extreme eigenvalues of H; refused where H + damping I is singular."""
        damping = checks.damping(damping)
        low, high = self.spectrum(exact=damping == 0.0)
        if damping == 0.0 and low <= self.num_parameters * self._unit * high:
            raise ValueError(
                f"damping is 0 but the matrix is singular to working precision (eigenvalues from "
                f"{low:.1e} to {high:.1e}): use a damping > 0"
            )
        return damping, low, high

    def _damped(self, x: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        """The operator that `_solve` inverts."""
        return self._apply(x).add_(x, alpha=damping)

    def _damped_range(self, damping: float, low: float, high: float) -> tuple[float, float]:
        """Extreme absolute eigenvalues of the operator that `_solve` inverts."""
        if low >= 0.0:
            return low + damping, high + damping
        return 0.0, max(abs(low + damping), high + damping)

    def _certify(
        self,
        b: Float[Tensor, "k P"],
        x: Float[Tensor, "k P"],
        remainder: Float[Tensor, "k P"],
        damping: float,
        low: float,
        high: float,
    ) -> Certificate:
        smallest, norm = self._damped_range(damping, low, high)
        residual = remainder.norm(dim=-1)
        scale = norm * x.norm(dim=-1) + b.norm(dim=-1)
        eta = torch.where(residual == 0, torch.zeros_like(residual), residual / scale)
        kappa = norm / smallest if smallest > 0 else float("inf")
        slack = 1 - kappa * eta
        bound = torch.where(slack > 0, 2 * kappa * eta / slack, torch.full_like(eta, torch.inf))
        return Certificate(residual, eta, bound, self.tolerance)

    def _largest_eigenvalue(self) -> float:
        """Of a positive semidefinite H, to 0.1 %; without the matrix where that is large."""
        if self.num_parameters <= DENSE:
            return largest_eigenvalue(self.dense())
        return lanczos(lambda v: self._apply(v[None])[0], self._like)

    @property
    def _unit(self) -> float:
        """Unit roundoff u."""
        return torch.finfo(self._like.dtype).eps / 2

    @property
    def tolerance(self) -> float:
        """What a direct solve's backward error may reach: 10 sqrt(P) u.

        Cholesky's backward error is bounded by 4 P(3P + 1) u (Higham 2002, theorem 10.4) and grows
        as sqrt(P) u when roundings are independent (Higham & Mary 2019); the residual's own inner
        products of length P add as much.
        """
        return 10 * self.num_parameters**0.5 * self._unit
