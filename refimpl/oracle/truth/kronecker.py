"""The matrix H + lambda that an implementation inverts, from its factors and eigenvalues."""

from collections.abc import Mapping

import numpy as np
from scipy.linalg import block_diag

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions

__all__ = [
    "Basis",
    "Factors",
    "damped_inverse",
    "damped_matrix",
    "eigen",
    "gap",
    "inverse_columns",
    "spectra",
]

Factors = Mapping[str, tuple[Array, Array]]  # (A [I, I], S [O, O])
Basis = Mapping[str, tuple[Array, Array, Array, Array]]  # (w_A, Q_A, w_S, Q_S)


def eigen(factors: Factors) -> dict[str, tuple[Array, Array, Array, Array]]:
    """(w_A, Q_A, w_S, Q_S) of every layer's factors.

    Args:
        factors: (A, S) by layer.
    """
    decompositions: dict[str, tuple[Array, Array, Array, Array]] = {}
    for name, (A, S) in factors.items():
        (w_A, Q_A), (w_S, Q_S) = np.linalg.eigh(A), np.linalg.eigh(S)
        decompositions[name] = w_A, Q_A, w_S, Q_S
    return decompositions


def gap(eigenvalues: Array, corrected: Array | None = None) -> float:
    """Smallest distance of a factor's eigenvalues outside the null space, over the norm.

    Args:
        eigenvalues: Of A or S.
        corrected: The largest of Lambda in the direction of each; None: zero where they are.

    Returns:
        Infinity where there is one eigenvalue at most.
    """
    norm = float(np.abs(eigenvalues).max())
    null = eigenvalues <= 1e-10 * norm
    # Any basis of the null space will do, but where the factor is of mean rows ("reduce") and Lambda,
    # of the gradients themselves, is not zero there.
    if corrected is not None and null.sum() > 1 and corrected[null].max() > 1e-10 * corrected.max():
        return 0.0
    positive = eigenvalues[~null]
    # The null space counts as one more eigenvalue: mixing it with others does harm.
    ends = np.append(positive, 0.0) if len(positive) < len(eigenvalues) else positive
    return float(np.diff(np.sort(ends)).min()) / norm if len(ends) > 1 and norm > 0 else np.inf


def damping_of(eigenvalues: Array, damping: float, conventions: Conventions) -> float:
    """The number added to a layer's eigenvalues [O, I], for absolute and relative damping.

    Args:
        eigenvalues: Of the layer's matrix [O, I].
        damping: The case's lambda.
        conventions: "relative" makes lambda a multiple of the mean eigenvalue.
    """
    if conventions.damping == "relative":
        return damping * float(eigenvalues.mean())
    return damping


def spectra(
    curvature: str,
    basis: Basis,
    eigenvalues: Mapping[str, Array] | None,
    damping: float,
    conventions: Conventions,
) -> dict[str, tuple[Array, Array, Array]]:
    """(Q_A, Q_S, damped eigenvalues [O, I]) of every layer, for K-FAC and EK-FAC.

    Args:
        curvature: "kfac" or "ekfac".
        basis: Eigendecompositions of the factors.
        eigenvalues: Lambda, for EK-FAC.
        damping: The case's lambda.
        conventions: Whether lambda is absolute, relative or factored.
    """
    parts: dict[str, tuple[Array, Array, Array]] = {}
    for name, (w_A, Q_A, w_S, Q_S) in basis.items():
        if curvature == "kfac" and conventions.damping == "factored":
            # Martens & Grosse 2015, section 6.3: pi^2 is the ratio of the mean eigenvalues.
            mean_A, mean_S = w_A.mean(), w_S.mean()
            pi = (mean_A / mean_S) ** 0.5 if mean_A > 0 and mean_S > 0 else 1.0
            root = damping**0.5
            damped = np.outer(w_S + root / pi, w_A + pi * root)
        else:
            if curvature == "ekfac":
                assert eigenvalues is not None
                undamped = eigenvalues[name]
            else:
                undamped = np.outer(w_S, w_A)
            damped = undamped + damping_of(undamped, damping, conventions)
        parts[name] = Q_A, Q_S, damped
    return parts


def damped_inverse(
    parts: Mapping[str, tuple[Array, Array, Array]], matrices: Mapping[str, Array]
) -> dict[str, Array]:
    """Q_S ((Q_S^T V Q_A) / D) Q_A^T of every layer (Grosse et al. 2023, eq. 20).

    Args:
        parts: (Q_A, Q_S, damped eigenvalues) by layer, from `spectra`.
        matrices: V [..., O, I] by layer.
    """
    return {
        name: Q_S @ ((Q_S.T @ matrices[name] @ Q_A) / D) @ Q_A.T
        for name, (Q_A, Q_S, D) in parts.items()
    }


def inverse_columns(parts: Mapping[str, tuple[Array, Array, Array]]) -> dict[str, Array]:
    """Norms [O, I] of the columns of Q D^-1 Q^T, by layer: each is the norm of D^-1 times a row of Q.

    Args:
        parts: (Q_A, Q_S, damped eigenvalues) by layer, from `spectra`.
    """
    return {name: np.sqrt(Q_S**2 @ D**-2.0 @ (Q_A**2).T) for name, (Q_A, Q_S, D) in parts.items()}


def damped_matrix(parts: Mapping[str, tuple[Array, Array, Array]], vec_order: str) -> Array:
    """The P x P matrix Q D Q^T that `damped_inverse` inverts, in flat order.

    Args:
        parts: (Q_A, Q_S, damped eigenvalues) by layer, from `spectra`.
        vec_order: "out_major": Q = Q_S (x) Q_A; "in_major": Q_A (x) Q_S.
    """
    blocks: list[Array] = []
    for Q_A, Q_S, D in parts.values():
        outer = vec_order == "out_major"
        Q = np.kron(Q_S, Q_A) if outer else np.kron(Q_A, Q_S)
        blocks.append((Q * (D if outer else D.T).reshape(-1)) @ Q.T)
    return np.asarray(block_diag(*blocks))
