"""Stage "gauss_newton": equality, and what products with any such matrix obey."""

import numpy as np

from refimpl.oracle.checks.check import Check, relative, worst
from refimpl.oracle.checks.operators import norm_products
from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.gauss_newton import GAUSS_NEWTON
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Undecided

__all__ = ["CHECKS", "null_space"]


def _product_size(trial: Trial) -> float:
    """||G|| plus the change of G by perturbations of the problem: the error scale of a product."""
    moved = np.linalg.norm(scale_of(trial.truth, lambda t: t.matrix))
    return float(np.linalg.norm(trial.truth.matrix, 2) + moved)


def _equal(trial: Trial, mode: Mode) -> float:
    truth, v = trial.truth, trial.vectors
    scale = GAUSS_NEWTON.scale(truth, {"vectors": v})["answer"]
    return worst(trial.gauss_newton(v) - v @ truth.matrix, scale, trial.unit)


def _self_adjoint(trial: Trial, mode: Mode) -> float:
    v = trial.vectors
    products = v @ trial.gauss_newton(v).T
    return worst(products - products.T, norm_products(v, v) * _product_size(trial), trial.unit)


def _positive(trial: Trial, mode: Mode) -> float:
    v = np.concatenate([trial.vectors, null_space(trial.truth.matrix)])
    forms = np.einsum("kp,kp->k", v, trial.gauss_newton(v))
    size = (v**2).sum(axis=1) * _product_size(trial)
    return worst(np.minimum(forms, 0.0), size, trial.unit)


def _linear(trial: Trial, mode: Mode) -> float:
    v = trial.vectors
    mixed = 3.0 * v[:1] - 0.5 * v[1:2]
    Gv = trial.gauss_newton(v)
    error = trial.gauss_newton(mixed) - (3.0 * Gv[:1] - 0.5 * Gv[1:2])
    size = float(3.0 * np.linalg.norm(v[0]) + 0.5 * np.linalg.norm(v[1])) * _product_size(trial)
    return relative(error, size, trial.unit)


def null_space(matrix: Array) -> Array:
    """An orthonormal basis [k, P] of at most eight vectors of G's null space.

    An eigenvalue that is not zero but small, 1e-14 of the largest, is none of it: only what eigh's own
    rounding, P u_64, cannot tell from zero.

    Args:
        matrix: G [P, P].
    """
    w, Q = np.linalg.eigh(matrix)
    return Q[:, w <= len(w) * 2.0**-53 * max(w[-1], 0.0)].T[:8]


def _zero_there(trial: Trial, mode: Mode) -> float:
    v = null_space(trial.truth.matrix)
    if not len(v):
        raise Undecided("the Gauss-Newton Hessian of this case is not singular")
    # The vectors themselves lie within P u_64 of the null space.
    size = _product_size(trial) * (1 + v.shape[1] * 2.0**-53 / trial.unit)
    return relative(trial.gauss_newton(v), size, trial.unit)


CHECKS = (
    Check(
        "gauss-newton-equal",
        "stages",
        "gauss_newton",
        "Products with the Gauss-Newton Hessian are right, entry by entry.",
        "G v = (1/N) sum_n J_n^T H_n J_n v",
        "Schraudolph 2002; Martens 2020, section 8.1",
        "what relative perturbations u of weights and inputs change, and u |G| |v|",
        _equal,
        shows=True,
    ),
    Check(
        "gauss-newton-self-adjoint",
        "stages",
        "gauss_newton",
        "The Gauss-Newton Hessian is symmetric.",
        "v^T (G w) = w^T (G v)",
        "Martens 2020, section 8.1",
        "u ||v|| ||w|| (||G|| + what perturbations of the problem change in G)",
        _self_adjoint,
    ),
    Check(
        "gauss-newton-positive",
        "stages",
        "gauss_newton",
        "The Gauss-Newton Hessian is positive semidefinite.",
        "v^T G v >= 0",
        "Martens 2020, section 8.1",
        "u ||v||^2 (||G|| + what perturbations of the problem change in G)",
        _positive,
    ),
    Check(
        "gauss-newton-linear",
        "stages",
        "gauss_newton",
        "Products with the Gauss-Newton Hessian are linear, also across calls.",
        "G (a v + b w) = a G v + b G w",
        "Martens 2020, section 8.1",
        "u (|a| ||v|| + |b| ||w||) (||G|| + what perturbations of the problem change in G)",
        _linear,
    ),
    Check(
        "gauss-newton-null-space",
        "stages",
        "gauss_newton",
        "What no output feels to first order is in the null space.",
        "G v = 0 for J_n^T H_n J_n v = 0, all n",
        "Martens 2020, section 8.1",
        "u (||G|| + what perturbations of the problem change in G), and P u_64 for the vectors",
        _zero_there,
    ),
)
