"""Stages "gauss_newton" and "solve": equality, and what any such operator obeys."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.oracle.checks.check import Check, relative, worst
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.kronecker import damped_matrix, spectra
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Undecided

__all__ = ["CHECKS", "Operator", "operator"]

BOTH: tuple[Mode, ...] = ("isolated", "chained")


def _product_size(trial: Trial) -> float:
    """Norm of G, and of what perturbations of the problem change in it: what a product loses u of."""
    moved = np.linalg.norm(scale_of(trial.truth, lambda t: t.matrix))
    return float(np.linalg.norm(trial.truth.matrix, 2) + moved)


def _equal(trial: Trial, mode: Mode) -> float:
    truth, v = trial.truth, trial.vectors
    scale = scale_of(truth, lambda t: v @ t.matrix) + np.abs(v) @ np.abs(truth.matrix)
    return worst(trial.gauss_newton(v) - v @ truth.matrix, scale, trial.unit)


def _gauss_newton_self_adjoint(trial: Trial, mode: Mode) -> float:
    v = trial.vectors
    products = v @ trial.gauss_newton(v).T
    return worst(products - products.T, _outer(v, v) * _product_size(trial), trial.unit)


def _outer(v: Array, w: Array) -> Array:
    return np.outer(np.linalg.norm(v, axis=1), np.linalg.norm(w, axis=1))


def _gauss_newton_positive(trial: Trial, mode: Mode) -> float:
    v = np.concatenate([trial.vectors, _null_space(trial.truth.matrix)])
    forms = np.einsum("kp,kp->k", v, trial.gauss_newton(v))
    size = (v**2).sum(axis=1) * _product_size(trial)
    return worst(np.minimum(forms, 0.0), size, trial.unit)


def _gauss_newton_linear(trial: Trial, mode: Mode) -> float:
    v = trial.vectors
    mixed = 3.0 * v[:1] - 0.5 * v[1:2]
    Gv = trial.gauss_newton(v)
    error = trial.gauss_newton(mixed) - (3.0 * Gv[:1] - 0.5 * Gv[1:2])
    size = float(3.0 * np.linalg.norm(v[0]) + 0.5 * np.linalg.norm(v[1])) * _product_size(trial)
    return relative(error, size, trial.unit)


def _null_space(matrix: Array) -> Array:
    """An orthonormal basis [k, P] of at most eight vectors of G's null space.

    An eigenvalue that is not zero but small, 1e-14 of the largest, is none of it: only what eigh's own
    rounding, P u_64, cannot tell from zero.
    """
    w, Q = np.linalg.eigh(matrix)
    return Q[:, w <= len(w) * 2.0**-53 * max(w[-1], 0.0)].T[:8]


def _gauss_newton_null_space(trial: Trial, mode: Mode) -> float:
    v = _null_space(trial.truth.matrix)
    if not len(v):
        raise Undecided("the Gauss-Newton Hessian of this case is not singular")
    # The vectors themselves lie within P u_64 of the null space.
    size = _product_size(trial) * (1 + v.shape[1] * 2.0**-53 / trial.unit)
    return relative(trial.gauss_newton(v), size, trial.unit)


@dataclass(frozen=True)
class Operator:
    """H + lambda as an implementation is fed it.

    Args:
        trial: The trial.
        parts: (Q_A, Q_S, damped eigenvalues) by layer; None for the Gauss-Newton Hessian.
        matrix: The dense damped matrix [P, P], in float64.
        eigenvalues: Its eigenvalues [P], in any order.
        size: What a relative perturbation u of everything changes in it, at most, over u.
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
    def formed(self) -> float:
        """1 + ||M|| ||M^-1||_F / (2 sqrt P): by what a residual grows where M^-1 is formed.

        Each of its rows has an error of its own, and M times these is left.
        """
        inverse = float(np.linalg.norm(1 / self.eigenvalues))
        return 1 + self.high * inverse / (2 * len(self.eigenvalues) ** 0.5)

    @property
    def kappa(self) -> float:
        """The condition number, what the implementation itself perturbs included."""
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
        trial: The trial.
        mode: The mode.
        damping: Default: the case's.

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
        found = Operator(trial, None, matrix, damped, float(damped.max()) + moved)
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
        found = Operator(trial, parts, matrix, damped, float(damped.max()) * (1 + defect))
    if not found.low > 0:
        raise Undecided(
            f"the damped matrix is not positive definite: its least eigenvalue is {found.low:.1e}"
        )
    return found


def _defect(Q: Array, unit: float) -> float:
    """||Q^T Q - I|| / u, as far as the check of the eigenvectors allows it: n."""
    return min(float(np.linalg.norm(Q.T @ Q - np.eye(len(Q)), 2)) / unit, float(len(Q)))


def _backward(trial: Trial, mode: Mode) -> float:
    H, b, x = operator(trial, mode), trial.vectors, trial.solve(mode, trial.vectors)
    size = H.size * H.formed * np.linalg.norm(x, axis=1) + np.linalg.norm(b, axis=1)
    return relative((b - H.apply(x)).astype(np.float64), size, trial.unit)


def _forward(trial: Trial, mode: Mode) -> float:
    H, x = operator(trial, mode), trial.solve(mode, trial.vectors)
    right = np.linalg.solve(H.matrix, trial.vectors.T).T
    return relative(x - right, np.linalg.norm(right, axis=1) * H.kappa, trial.unit)


def _solve_linear(trial: Trial, mode: Mode) -> float:
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    error = trial.solve(mode, 3.0 * v[:1] - 0.5 * v[1:2]) - (3.0 * x[:1] - 0.5 * x[1:2])
    size = float(3.0 * np.linalg.norm(x[0]) + 0.5 * np.linalg.norm(x[1]))
    return relative(error, size * H.kappa, trial.unit)


def _solve_self_adjoint(trial: Trial, mode: Mode) -> float:
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    products = v @ x.T
    size = _outer(v, x) * H.kappa
    return worst(products - products.T, size + size.T, trial.unit)


def _solve_between(trial: Trial, mode: Mode) -> float:
    """How far b^T x leaves [||b||^2 / high, ||b||^2 / low]."""
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    forms, norms = np.einsum("kp,kp->k", v, x), (v**2).sum(axis=1)
    excess = np.maximum(0.0, np.maximum(forms - norms / H.low, norms / H.high - forms))
    size = np.linalg.norm(v, axis=1) * np.linalg.norm(x, axis=1) * H.kappa
    return worst(excess, size, trial.unit)


def _solve_large_damping(trial: Trial, mode: Mode) -> float:
    """With lambda = ||H|| / sqrt(u) two terms of the series are exact to u."""
    if trial.declaration.curvature == "gauss_newton":
        norm = float(np.linalg.norm(trial.truth.second_moment, 2))
    else:
        norm = operator(trial, mode).high - trial.case.damping
    damping = float(max(norm, 1e-30) / trial.unit**0.5)
    H, v = operator(trial, mode, damping), trial.vectors
    x = trial.solve(mode, v, damping)
    plain = H.apply(v) - damping * v.astype(np.longdouble)
    error = (damping * x - v + plain / damping).astype(np.float64)
    n = max(rows + columns for rows, columns in trial.truth.shapes().values())
    return relative(error, np.linalg.norm(v, axis=1) * n, trial.unit)


FED = " times 1 + ||Q^T Q - I|| / u, n at most, of the eigenvectors it is fed"
CHECKS = (
    Check(
        "gauss-newton-equal", "stages", "gauss_newton",
        "Products with the Gauss-Newton Hessian are right, entry by entry.",
        "G v = (1/N) sum_n J_n^T H_n J_n v",
        "Schraudolph 2002; Martens 2020, section 8.1",
        "what relative perturbations u of weights and inputs change, and u |G| |v|",
        _equal,
    ),
    Check(
        "gauss-newton-self-adjoint", "stages", "gauss_newton",
        "The Gauss-Newton Hessian is symmetric.",
        "v^T (G w) = w^T (G v)",
        "Martens 2020, section 8.1",
        "u ||v|| ||w|| (||G|| + what perturbations of the problem change in G)",
        _gauss_newton_self_adjoint,
    ),
    Check(
        "gauss-newton-positive", "stages", "gauss_newton",
        "The Gauss-Newton Hessian is positive semidefinite.",
        "v^T G v >= 0",
        "Martens 2020, section 8.1",
        "u ||v||^2 (||G|| + what perturbations of the problem change in G)",
        _gauss_newton_positive,
    ),
    Check(
        "gauss-newton-linear", "stages", "gauss_newton",
        "Products with the Gauss-Newton Hessian are linear, also across calls.",
        "G (a v + b w) = a G v + b G w",
        "Martens 2020, section 8.1",
        "u (|a| ||v|| + |b| ||w||) (||G|| + what perturbations of the problem change in G)",
        _gauss_newton_linear,
    ),
    Check(
        "gauss-newton-null-space", "stages", "gauss_newton",
        "What no output feels to first order is in the null space.",
        "G v = 0 for J_n^T H_n J_n v = 0, all n",
        "Martens 2020, section 8.1",
        "u (||G|| + what perturbations of the problem change in G), and P u_64 for the vectors",
        _gauss_newton_null_space,
    ),
    Check(
        "solve-backward-error", "stages", "solve",
        "The damped solve inverts the very parts that it was given, with the declared damping.",
        "||b - (H + lambda) x|| / (||H + lambda||_2 ||x|| + ||b||)",
        "Rigal & Gaches 1967",
        "u (||M|| c ||x|| + ||b||), M = H + lambda, residual in extended precision; c = 1 + "
        "||M|| ||M^-1||_F / (2 sqrt P) for who forms M^-1 row by row (a solve needs no c); ||M||" + FED,
        _backward, modes=BOTH,
    ),
    Check(
        "solve-forward-error", "stages", "solve",
        "The damped solve agrees with that of the dense matrix.",
        "||x - x*|| / (||x*|| kappa), kappa = ||H + lambda|| ||(H + lambda)^-1||",
        "Higham 2002, theorem 7.2",
        "u kappa ||x||, a priori; kappa" + FED,
        _forward, modes=BOTH,
    ),
    Check(
        "solve-linear", "stages", "solve",
        "The damped solve is linear, also across calls.",
        "x(a v + b w) = a x(v) + b x(w)",
        "Grosse et al. 2023, eq. 20",
        "u kappa (|a| ||x(v)|| + |b| ||x(w)||); kappa" + FED,
        _solve_linear, modes=BOTH,
    ),
    Check(
        "solve-self-adjoint", "stages", "solve",
        "The damped inverse is symmetric.",
        "v^T x(w) = w^T x(v)",
        "Grosse et al. 2023, eq. 20",
        "u kappa (||v|| ||x(w)|| + ||w|| ||x(v)||); kappa" + FED,
        _solve_self_adjoint, modes=BOTH,
    ),
    Check(
        "solve-between", "stages", "solve",
        "The damped inverse is positive, between the inverses of the extreme eigenvalues.",
        "||b||^2 / max eig <= b^T x <= ||b||^2 / min eig of H + lambda",
        "Rayleigh quotient; Golub & Van Loan 2013, theorem 8.1.2",
        "u kappa ||b|| ||x||; kappa" + FED,
        _solve_between, modes=BOTH,
    ),
    Check(
        "solve-large-damping", "stages", "solve",
        "As the damping grows the solve becomes division by it.",
        "lambda x = b - H b / lambda + O((||H|| / lambda)^2), at lambda = ||H|| / sqrt(u)",
        "Neumann series",
        "u (O + I) ||b||: the orthogonality of the eigenvectors; the neglected term is u ||b||",
        _solve_large_damping,
        applies=lambda trial: trial.conventions.damping == "absolute", modes=BOTH,
    ),
)  # fmt: skip
