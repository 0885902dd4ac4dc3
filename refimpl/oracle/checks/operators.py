"""The matrix that a damped solve inverts, built from the solve's own inputs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.kronecker import damped_matrix, spectra
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Undecided

__all__ = ["Operator", "norm_products", "operator"]


def norm_products(v: Array, w: Array) -> Array:
    """||v_i|| ||w_j|| for all pairs of rows [k, l].

    Args:
        v: Rows [k, P].
        w: Rows [l, P].
    """
    return np.outer(np.linalg.norm(v, axis=1), np.linalg.norm(w, axis=1))


@dataclass(frozen=True)
class Operator:
    """H + lambda, built from what the implementation receives.

    Args:
        trial: The implementation on a case.
        parts: (Q_A, Q_S, damped eigenvalues) by layer; None for the Gauss-Newton Hessian.
        matrix: The dense damped matrix [P, P], in float64.
        eigenvalues: Its eigenvalues [P], in any order.
        size: Bound on the change by relative perturbations u of all inputs, in norm, over u.
    """

    trial: Trial
    parts: dict[str, tuple[Array, Array, Array]] | None
    matrix: Array
    eigenvalues: Array
    size: float

    @cached_property
    def low(self) -> float:
        """Its smallest eigenvalue."""
        return float(self.eigenvalues.min())

    @cached_property
    def high(self) -> float:
        """Its largest eigenvalue."""
        return float(self.eigenvalues.max())

    @property
    def inverse_growth(self) -> float:
        """Factor 1 + ||M|| ||M^-1||_F / (2 sqrt P) by which computing M^-1 enlarges a residual.

        Each row of M^-1 has its own error, and the residual is M times these errors.
        """
        inverse = float(np.linalg.norm(1 / self.eigenvalues))
        return 1 + self.high * inverse / (2 * len(self.eigenvalues) ** 0.5)

    @property
    def kappa(self) -> float:
        """The condition number, with the implementation's own perturbations."""
        return self.size / self.low

    def apply(self, x: Array) -> Array:
        """(H + lambda) x for each row, in extended precision.

        Args:
            x: Rows [k, P].
        """
        wide = x.astype(np.longdouble)
        if self.parts is None:
            return wide @ self.matrix.astype(np.longdouble)
        conventions = self.trial.conventions
        turned: dict[str, Array] = {}
        for name, V in unflatten(wide, self.trial.case, conventions).items():
            Q_A, Q_S, D = (part.astype(np.longdouble) for part in self.parts[name])
            turned[name] = Q_S @ (D * (Q_S.T @ V @ Q_A)) @ Q_A.T
        return flatten(turned, conventions)


def operator(trial: Trial, mode: Mode, damping: float | None = None) -> Operator:
    """The damped matrix that a solve has to invert in a mode.

    Args:
        trial: The implementation on a case.
        mode: "isolated" feeds the solve the true parts, "chained" the implementation's.
        damping: lambda >= 0; default: the case's.

    Raises:
        Undecided: It is not positive definite.
    """
    case, kind = trial.case, trial.declaration.curvature
    value = case.damping if damping is None else damping
    if kind == "gauss_newton":
        G = trial.truth.second_moment
        w = np.linalg.eigvalsh(G)
        added = value  # it has no layers whose mean eigenvalue the damping could be relative to
        matrix = G + added * np.eye(len(w))
        damped = np.maximum(w, 0.0) + added
        # It computes the matrix itself, and so loses what perturbations of the problem change in it.
        moved = float(np.linalg.norm(scale_of(trial.truth, lambda t: t.second_moment)))
        H = Operator(trial, None, matrix, damped, float(damped.max()) + moved)
    else:
        state = trial.state_for(mode)
        assert state.basis is not None
        parts = spectra(kind, state.basis, state.eigenvalues, value, trial.conventions)
        matrix = damped_matrix(parts, trial.conventions.vec_order)
        damped = np.concatenate([D.reshape(-1) for _, _, D in parts.values()])
        # Q D^-1 Q^T is the inverse of Q D Q^T as far as Q^T Q is the identity.
        defect = max(
            _defect(Q_A, trial.unit) + _defect(Q_S, trial.unit) for Q_A, Q_S, _ in parts.values()
        )
        H = Operator(trial, parts, matrix, damped, float(damped.max()) * (1 + defect))
    if not H.low > 0:
        raise Undecided(
            f"the damped matrix is not positive definite: its least eigenvalue is {H.low:.1e}"
        )
    return H


def _defect(Q: Array, unit: float) -> float:
    """||Q^T Q - I|| / u, at most the n that the check of the eigenvectors allows."""
    return min(float(np.linalg.norm(Q.T @ Q - np.eye(len(Q)), 2)) / unit, float(len(Q)))
