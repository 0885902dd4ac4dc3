"""Curvature: a matrix H that stands for the curvature of a problem. One class with apply, solve, dense."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.certificates import Certificate, Solution, certify, reshaped
from refimpl.problem import checks
from refimpl.problem.layout import ParameterLayout
from refimpl.problem.problem import Problem

__all__ = ["Curvature", "Eigenbasis"]

# (Q_A, Q_S, D) per block, so that a matrix acts on V [O, I] as Q_S (D * (Q_S^T V Q_A)) Q_A^T.
Eigenbasis = dict[
    str, tuple[Float[Tensor, "_I _I"], Float[Tensor, "_O _O"], Float[Tensor, "_O _I"]]
]


class Curvature(ABC):
    """A symmetric P x P matrix H that stands for the curvature of a problem.

    A curvature of one's own defines `apply` and `solve`, and `dense` where the matrix is known; the rest
    follows from these. `certified` makes what `solve` returns.

    Args:
        problem: The problem, which gives the layout, dtype and device.

    Attributes:
        layout: Map between vectors [P] and the matrices of the blocks.
        num_parameters: P.
        parameters: The flat parameters [P] at which the curvature stands; dtype and device are theirs.

    Example:
        >>> import refimpl as ri
        >>> class Scaled(ri.Curvature):
        ...     def apply(self, vectors):
        ...         return 3.0 * vectors
        ...
        ...     def solve(self, vectors, damping):
        ...         return self.certified(vectors, vectors / (3.0 + damping), damping)
        >>> x, y = torch.eye(3), torch.tensor([0, 1, 1])
        >>> problem = ri.Problem(torch.nn.Linear(3, 2), ri.losses.CrossEntropy(), x, y)
        >>> ri.influence(problem, x, y, curvature=Scaled(problem), damping=0.1).shape
        torch.Size([3, 3])
    """

    def __init__(self, problem: Problem) -> None:
        self.layout: ParameterLayout = problem.layout
        self.num_parameters = problem.num_parameters
        self.parameters: Float[Tensor, " P"] = problem.parameters
        self._extremes: tuple[float, float] | None = None

    @abstractmethod
    def apply(self, vectors: Float[Tensor, "*k P"]) -> Float[Tensor, "*k P"]:
        """H v.

        Args:
            vectors: Vectors v [..., P].

        Returns:
            Products [..., P].
        """

    @abstractmethod
    def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Solution:
        """(H + damping I)^-1 v with a certificate.

        Args:
            vectors: Right-hand sides v [..., P].
            damping: lambda >= 0, absolute; 0 only where H is not singular.

        Raises:
            ValueError: The damping is negative, or zero on a (numerically) singular matrix.
        """

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix H itself."""
        return self.apply(self._identity())

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of H.

        Args:
            exact: Whether a lower bound will not do for the smallest, nor 0.1 % for the largest.
        """
        del exact
        if self._extremes is None:
            values = torch.linalg.eigvalsh(self.dense())
            self._extremes = float(values[0]), float(values[-1])
        return self._extremes

    def certified(
        self, vectors: Float[Tensor, "*k P"], solutions: Float[Tensor, "*k P"], damping: float
    ) -> Solution:
        """Solutions x of (H + damping I) x = v with their certificate.

        Args:
            vectors: Right-hand sides v [..., P].
            solutions: Approximate solutions [..., P].
            damping: lambda >= 0, absolute; 0 only where H is not singular.

        Raises:
            ValueError: The damping is negative, or zero on a (numerically) singular matrix.
        """
        checks.vectors(vectors, self.num_parameters, self.parameters)
        damping, low, high = self.invertible(damping)
        b, x = (v.reshape(-1, self.num_parameters) for v in (vectors, solutions))
        certificate = self.certificate(b, x, b - self.apply_damped(x, damping), damping, low, high)
        return reshaped(x, certificate, vectors.shape)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(H + damping I)^-1 v for each row v, as a preconditioner needs it.

        Args:
            vectors: Right-hand sides v [k, P].
            damping: lambda, absolute.
        """
        return self.solve(vectors, damping).value

    def apply_damped(self, vectors: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        """The product of the matrix that `solve` inverts with each row v.

        Args:
            vectors: Vectors v [k, P].
            damping: lambda, absolute.
        """
        return self.apply(vectors).add(vectors, alpha=damping)

    def dense_damped(self, damping: float) -> Float[Tensor, "P P"]:
        """The matrix that `solve` inverts.

        Args:
            damping: lambda, absolute.
        """
        return self.apply_damped(self._identity(), damping)

    def damped_range(self, damping: float, low: float, high: float) -> tuple[float, float]:
        """The extreme absolute eigenvalues of the matrix that `solve` inverts.

        Args:
            damping: lambda, absolute.
            low: The smallest eigenvalue of H.
            high: The largest eigenvalue of H.
        """
        if low >= 0.0:
            return low + damping, high + damping
        return 0.0, max(abs(low + damping), high + damping)

    def inverse_eigenbasis(self, damping: float) -> Eigenbasis | None:
        """(Q_A, Q_S, D) per block where (H + damping I)^-1 is diagonal in a Kronecker basis, else None.

        Args:
            damping: As for `solve`.

        Raises:
            ValueError: As for `solve`.
            NotConverged: The basis is not orthonormal to rounding, or the inverse overflows.
        """
        del damping

    def invertible(self, damping: float) -> tuple[float, float, float]:
        """The damping, and the extreme eigenvalues of H; refused where H + damping I is singular.

        Args:
            damping: lambda, absolute.

        Raises:
            ValueError: The damping is negative, or zero on a (numerically) singular matrix.
        """
        damping = checks.damping(damping)
        low, high = self.spectrum(exact=damping == 0.0)
        if damping == 0.0 and low <= self.num_parameters * self.unit_roundoff * high:
            raise ValueError(
                f"damping is 0 but the matrix is singular to working precision (eigenvalues from "
                f"{low:.1e} to {high:.1e}): use a damping > 0"
            )
        return damping, low, high

    def certificate(
        self,
        b: Float[Tensor, "k P"],
        x: Float[Tensor, "k P"],
        remainder: Float[Tensor, "k P"],
        damping: float,
        low: float,
        high: float,
    ) -> Certificate:
        """The certificate of x as a solution of the damped system.

        Args:
            b: Right-hand sides, [k, P].
            x: Solutions, [k, P].
            remainder: b less the damped matrix times x, [k, P].
            damping: lambda, absolute.
            low: The smallest eigenvalue of H.
            high: The largest eigenvalue of H.
        """
        smallest, norm = self.damped_range(damping, low, high)
        return certify(b, x, remainder, smallest=smallest, norm=norm, tolerance=self.tolerance)

    @property
    def unit_roundoff(self) -> float:
        """Unit roundoff u of the dtype."""
        return torch.finfo(self.parameters.dtype).eps / 2

    @property
    def tolerance(self) -> float:
        """Bound on a direct solve's backward error: 10 sqrt(P) u.

        Cholesky's backward error is bounded by 4 P(3P + 1) u (Higham 2002, theorem 10.4) and grows
        as sqrt(P) u when roundings are independent (Higham & Mary 2019); the residual's own inner
        products of length P add as much.
        """
        return 10 * self.num_parameters**0.5 * self.unit_roundoff

    def _identity(self) -> Float[Tensor, "P P"]:
        like = self.parameters
        return torch.eye(self.num_parameters, dtype=like.dtype, device=like.device)
