"""Curvatures given by a product with rows and a solve of them; checks and certificates go around these."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.certificates import NotConverged, Solution, reshaped
from refimpl.curvature.curvature import Curvature, Eigenbasis
from refimpl.curvature.spectra import DENSE, lanczos, largest_eigenvalue
from refimpl.problem import checks

__all__ = ["StructuredCurvature"]

# A subclass that overrides one of these solves in a way that the eigenbasis of its parent does not have.
SOLVING = {"apply", "solve", "apply_rows", "solve_uncertified", "apply_damped"}


class StructuredCurvature(Curvature):
    """A curvature given by its product with rows of vectors [k, P], and by its solve of them.

    Args:
        problem: The problem, which gives the layout, dtype and device.
    """

    # Steps of iterative refinement that a solve may take where its backward error is not small.
    refinements = 0

    @abstractmethod
    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """H v for each row v, as a new tensor.

        Args:
            vectors: Vectors v [k, P].
        """

    @abstractmethod
    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(H + damping I)^-1 v for each row v, as a new tensor.

        Args:
            vectors: Right-hand sides v [k, P].
            damping: lambda, absolute.
        """

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
        checks.vectors(vectors, self.num_parameters, self.parameters)
        return self.apply_rows(vectors.reshape(-1, self.num_parameters)).reshape(vectors.shape)

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix H itself."""
        return self.apply_rows(self._identity())

    def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Solution:
        """(H + damping I)^-1 v with a certificate.

        Args:
            vectors: Right-hand sides v [..., P].
            damping: lambda >= 0, absolute; 0 only where H is not singular.

        Raises:
            ValueError: The damping is negative, or zero on a (numerically) singular matrix.
        """
        checks.vectors(vectors, self.num_parameters, self.parameters)
        damping, low, high = self.invertible(damping)
        flat = vectors.reshape(-1, self.num_parameters)
        x = self.solve_uncertified(flat, damping)
        residual = self.apply_damped(x, damping).neg_().add_(flat)
        certificate = self.certificate(flat, x, residual, damping, low, high)
        for _ in range(self.refinements):
            poor = certificate.backward_error > self.tolerance / 10
            if not bool(poor.any()):
                break
            x[poor] += self.solve_uncertified(residual[poor], damping)
            residual[poor] = flat[poor] - self.apply_damped(x[poor], damping)
            certificate = self.certificate(flat, x, residual, damping, low, high)
        return reshaped(x, certificate, vectors.shape)

    def apply_damped(self, vectors: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        """The product of the matrix that `solve` inverts with each row v, as a new tensor.

        Args:
            vectors: Vectors v [k, P].
            damping: lambda, absolute.
        """
        return self.apply_rows(vectors).add_(vectors, alpha=damping)

    def inverse_eigenbasis(self, damping: float) -> Eigenbasis | None:
        """(Q_A, Q_S, D) per block where (H + damping I)^-1 is diagonal in a Kronecker basis, else None.

        None as well of a subclass that solves in a way of its own.

        Args:
            damping: As for `solve`.

        Raises:
            ValueError: As for `solve`.
            NotConverged: The basis is not orthonormal to rounding, or the inverse overflows.
        """
        damping, _, _ = self.invertible(damping)
        for kind in type(self).__mro__:
            if "kronecker_inverse" in vars(kind):
                break
            if vars(kind).keys() & SOLVING:
                return None
        basis = self.kronecker_inverse(damping)
        for name, (Q_A, Q_S, D) in (basis or {}).items():
            if not bool(torch.isfinite(D).all()):
                raise NotConverged(
                    f"block {name}: an eigenvalue + {damping:g} has no finite inverse"
                )
            for Q in (Q_A, Q_S):
                defect = float((Q.mT @ Q - torch.eye(len(Q)).to(Q)).norm())
                # An eigensolver's is a modest multiple of n u; float32's in float64 would be 1e8 u.
                if not defect <= 30 * len(Q) * self.unit_roundoff:
                    raise NotConverged(
                        f"block {name}: its eigenvectors are orthonormal to {defect:.1e} only. Were they "
                        "saved in a lower dtype? Fit them anew"
                    )
        return basis

    def kronecker_inverse(self, damping: float) -> Eigenbasis | None:
        """`inverse_eigenbasis` unchecked: (Q_A, Q_S, D) per block, or None where there is none.

        Args:
            damping: lambda, absolute.
        """
        del damping

    def estimated_norm(self) -> float:
        """The largest eigenvalue of a positive semidefinite H to 0.1 %, by products where P is large."""
        if self.num_parameters <= DENSE:
            return largest_eigenvalue(self.dense())
        return lanczos(lambda v: self.apply_rows(v[None])[0], self.parameters)
