"""Stage "solve": against the dense matrix, and what any damped inverse obeys."""

import numpy as np

from refimpl.oracle.checks.check import Check, relative, worst
from refimpl.oracle.checks.operators import norm_products, operator
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial

__all__ = ["CHECKS"]

BOTH: tuple[Mode, ...] = ("isolated", "chained")


def _backward(trial: Trial, mode: Mode) -> float:
    H, b, x = operator(trial, mode), trial.vectors, trial.solve(mode, trial.vectors)
    size = H.size * H.inverse_growth * np.linalg.norm(x, axis=1) + np.linalg.norm(b, axis=1)
    return relative((b - H.apply(x)).astype(np.float64), size, trial.unit)


def _forward(trial: Trial, mode: Mode) -> float:
    H, x = operator(trial, mode), trial.solve(mode, trial.vectors)
    right = np.linalg.solve(H.matrix, trial.vectors.T).T
    return relative(x - right, np.linalg.norm(right, axis=1) * H.kappa, trial.unit)


def _linear(trial: Trial, mode: Mode) -> float:
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    error = trial.solve(mode, 3.0 * v[:1] - 0.5 * v[1:2]) - (3.0 * x[:1] - 0.5 * x[1:2])
    size = float(3.0 * np.linalg.norm(x[0]) + 0.5 * np.linalg.norm(x[1]))
    return relative(error, size * H.kappa, trial.unit)


def _self_adjoint(trial: Trial, mode: Mode) -> float:
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    products = v @ x.T
    size = norm_products(v, x) * H.kappa
    return worst(products - products.T, size + size.T, trial.unit)


def _between(trial: Trial, mode: Mode) -> float:
    """The distance of b^T x from [||b||^2 / high, ||b||^2 / low], over its scale."""
    H, v = operator(trial, mode), trial.vectors
    x = trial.solve(mode, v)
    forms, norms = np.einsum("kp,kp->k", v, x), (v**2).sum(axis=1)
    excess = np.maximum(0.0, np.maximum(forms - norms / H.low, norms / H.high - forms))
    size = np.linalg.norm(v, axis=1) * np.linalg.norm(x, axis=1) * H.kappa
    return worst(excess, size, trial.unit)


def _large_damping(trial: Trial, mode: Mode) -> float:
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


# Who is given eigenvectors that are orthogonal to rounding can solve no better than these allow.
KAPPA = "; kappa = ||H + lambda|| ||(H + lambda)^-1||"
GIVEN_BASIS = (
    " is multiplied by 1 + ||Q^T Q - I|| / u of the eigenvectors given to the stage, which is at most "
    "1 + O + I"
)
CHECKS = (
    Check(
        "solve-backward-error",
        "stages",
        "solve",
        "The damped solve inverts the very parts that it was given, with the declared damping.",
        "||b - (H + lambda) x|| / (||H + lambda||_2 ||x|| + ||b||)",
        "Rigal & Gaches 1967",
        "u (||M|| c ||x|| + ||b||) with M = H + lambda and the residual in extended precision; "
        "c = 1 + ||M|| ||M^-1||_F / (2 sqrt P) allows M^-1 to be formed row by row; ||M||"
        + GIVEN_BASIS,
        _backward,
        modes=BOTH,
        shows=True,
    ),
    Check(
        "solve-forward-error",
        "stages",
        "solve",
        "The damped solve agrees with that of the dense matrix.",
        "||x - x*|| / (||x*|| kappa), kappa = ||H + lambda|| ||(H + lambda)^-1||",
        "Higham 2002, theorem 7.2",
        "u kappa ||x||, a priori" + KAPPA + GIVEN_BASIS,
        _forward,
        modes=BOTH,
        shows=True,
    ),
    Check(
        "solve-linear",
        "stages",
        "solve",
        "The damped solve is linear, also across calls.",
        "x(a v + b w) = a x(v) + b x(w)",
        "Grosse et al. 2023, eq. 20",
        "u kappa (|a| ||x(v)|| + |b| ||x(w)||); kappa = ||H + lambda|| ||(H + lambda)^-1||"
        + GIVEN_BASIS,
        _linear,
        modes=BOTH,
    ),
    Check(
        "solve-self-adjoint",
        "stages",
        "solve",
        "The damped inverse is symmetric.",
        "v^T x(w) = w^T x(v)",
        "Grosse et al. 2023, eq. 20",
        "u kappa (||v|| ||x(w)|| + ||w|| ||x(v)||); kappa = ||H + lambda|| ||(H + lambda)^-1||"
        + GIVEN_BASIS,
        _self_adjoint,
        modes=BOTH,
    ),
    Check(
        "solve-between",
        "stages",
        "solve",
        "The damped inverse is positive, between the inverses of the extreme eigenvalues.",
        "||b||^2 / max eig <= b^T x <= ||b||^2 / min eig of H + lambda",
        "Rayleigh quotient; Golub & Van Loan 2013, theorem 8.1.2",
        "u kappa ||b|| ||x||" + KAPPA + GIVEN_BASIS,
        _between,
        modes=BOTH,
    ),
    Check(
        "solve-large-damping",
        "stages",
        "solve",
        "As the damping grows the solve becomes division by it.",
        "lambda x = b - H b / lambda + O((||H|| / lambda)^2), at lambda = ||H|| / sqrt(u)",
        "Neumann series",
        "u (O + I) ||b||: the orthogonality of the eigenvectors; the neglected term is u ||b||",
        _large_damping,
        applies=lambda trial: trial.conventions.damping == "absolute",
        modes=BOTH,
    ),
)
