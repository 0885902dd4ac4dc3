"""Stage "eigenbasis": by residual, by orthogonality and by subspaces, free of signs and rotations."""

from collections.abc import Iterator

import numpy as np

from refimpl.oracle.checks.check import Check, worst
from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.truth import Undecided

__all__ = ["CHECKS", "clusters", "residual"]

BOTH: tuple[Mode, ...] = ("isolated", "chained")


def _decompositions(trial: Trial, mode: Mode) -> Iterator[tuple[Array, Array, Array]]:
    """(matrix, eigenvalues, eigenvectors) of both factors of every layer."""
    factors, basis = trial.factors_for(mode), trial.eigenbasis(mode)
    for name, (A, S) in factors.items():
        w_A, Q_A, w_S, Q_S = basis[name]
        yield A, w_A, Q_A
        yield S, w_S, Q_S


def _one_norm(norm: Array) -> float:
    return float(np.linalg.norm(norm, 1))


def residual(trial: Trial, mode: Mode) -> float:
    """The largest error of Q diag(w) Q^T against its factor over all factors, over its scale.

    Args:
        trial: The implementation on a case.
        mode: "isolated" decomposes the true factors, "chained" the implementation's.
    """
    return max(
        worst(
            np.array([_one_norm(F - (Q * w) @ Q.T)]), np.array([_one_norm(F) * len(F)]), trial.unit
        )
        for F, w, Q in _decompositions(trial, mode)
    )


def _orthogonal(trial: Trial, mode: Mode) -> float:
    return max(
        worst(
            np.array([_one_norm(np.eye(len(Q)) - Q.T @ Q)]), np.array([float(len(Q))]), trial.unit
        )
        for _, _, Q in _decompositions(trial, mode)
    )


def _spectrum(trial: Trial, mode: Mode) -> float:
    return max(
        worst(
            np.sort(w) - np.linalg.eigvalsh((F + F.T) / 2),
            np.full(len(w), np.linalg.norm(F, 2) * len(F)),
            trial.unit,
        )
        for F, w, _ in _decompositions(trial, mode)
    )


def clusters(eigenvalues: Array, tolerance: float) -> list[Array]:
    """Indices of eigenvalues, grouped: neighbours closer than the tolerance share a cluster.

    Args:
        eigenvalues: In ascending order [n].
        tolerance: Largest difference that rounding may explain.
    """
    splits = np.flatnonzero(np.diff(eigenvalues) > tolerance) + 1
    return np.split(np.arange(len(eigenvalues)), splits)


def _subspaces(trial: Trial, mode: Mode) -> float:
    ratios: list[float] = []
    for F, eigenvalues, Q in _decompositions(trial, mode):
        w, V = np.linalg.eigh((F + F.T) / 2)
        norm = float(np.abs(w).max())
        groups = clusters(w, 1e3 * len(F) * trial.unit * norm)
        if len(groups) == 1:
            continue
        Q = Q[:, np.argsort(eigenvalues)]
        for group in groups:
            away = np.delete(w, group)
            gap = float(np.abs(w[group][:, None] - away).min())
            outside = Q[:, group] - V[:, group] @ (V[:, group].T @ Q[:, group])
            sine = float(np.linalg.norm(outside, 2))
            ratios.append(worst(np.array([sine * gap]), np.array([norm]), trial.unit))
    if not ratios:
        raise Undecided("no factor has two eigenvalues that rounding cannot exchange")
    return max(ratios)


CHECKS = (
    Check(
        "eigenbasis-residual",
        "stages",
        "eigenbasis",
        "The eigendecompositions give the factors back.",
        "||F - Q diag(w) Q^T||_1 / (||F||_1 n u)",
        "LAPACK, dsyt21; Golub & Van Loan 2013, section 8.3",
        "backward error n u ||F|| of a symmetric eigensolver",
        residual,
        modes=BOTH,
        shows=True,
    ),
    Check(
        "eigenbasis-orthogonal",
        "stages",
        "eigenbasis",
        "The eigenvectors stand in the columns of an orthogonal matrix.",
        "||I - Q^T Q||_1 / (n u)",
        "LAPACK, dsyt21",
        "n u, whatever the matrix",
        _orthogonal,
        modes=BOTH,
    ),
    Check(
        "eigenbasis-spectrum",
        "stages",
        "eigenbasis",
        "The eigenvalues are those of the factors.",
        "max_i |w_i - w_i(F)| / (||F||_2 n u), both sorted",
        "Weyl's theorem; Golub & Van Loan 2013, theorem 8.1.5",
        "n u ||F||_2: eigenvalues of a symmetric matrix move by no more than the matrix",
        _spectrum,
        modes=BOTH,
    ),
    Check(
        "eigenbasis-subspaces",
        "stages",
        "eigenbasis",
        "The eigenvectors of every cluster of eigenvalues span the right subspace; eigenvalues closer "
        "than 1000 n u ||F|| are one cluster, and signs and rotations within it are free.",
        "||(I - V V^T) Q||_2 gap / (u ||F||_2)",
        "Davis & Kahan 1970, sin Theta theorem",
        "u ||F||_2 / gap: a perturbation u ||F|| turns a subspace by no more than that",
        _subspaces,
        modes=BOTH,
    ),
)
