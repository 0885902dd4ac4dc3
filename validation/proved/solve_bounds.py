"""Forward error bounds of damped solves and influences, derived from the conditioning alone.

Where M = H + lambda I with H >= 0, ||M^-1||_2 <= 1 / lambda. A computed x^ solves a perturbed system
(M + E) x^ = b + db and is then perturbed by dx; hence x^ - x = M^-1 (db - E x^) + dx and, with
q = ||E|| / lambda (Higham 2002, theorem 7.2),
||x^ - x|| <= ||M^-1|| (|| E |x| || + ||db||) / (1 - q) + ||dx||.
An influence -g^T x needs no factor 1 / lambda: its error is |x_q^T E x_m| and what the gradients carry.

E is made of the errors of the matrix itself (`bounds`) and of the solver's backward error:

- Cholesky (Higham 2002, theorems 10.3 and 10.4): |E| <= gamma_{3P+1} |R^T| |R|, and by Cauchy-Schwarz
  (|R^T| |R|)_ij <= sqrt(M_ii M_jj), because the columns of R have the squared norms M_ii;
- eigendecomposition of an n x n factor: ||A - Q^ diag(w^) Q^^T||_2 <= 30 n u ||A||_2 and
  ||Q^^T Q^ - I||_2 <= 30 n u, the threshold of LAPACK's own tests (dsyt21). It is the one constant
  here that is a convention and not a theorem; no verdict rests on it: with 0 in its place all
  ratios measured stay below 1, the errors of the factors themselves being larger.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from validation.proved.bounds import Bounds
from validation.proved.problems import MicroProblem
from validation.proved.rounding import Rounded, U, gamma, without_error

__all__ = [
    "Vectors",
    "eigensolver_error",
    "gauss_newton_influence",
    "gauss_newton_solve",
    "gradient_share",
    "kfac_influence",
    "kfac_solve",
    "norms",
    "own_basis_solve",
]

EIGENSOLVER = 30.0
Basis = list[tuple[ndarray, ndarray]]


@dataclass(frozen=True)
class Vectors:
    """Right-hand sides b with bounds on their errors, and the true solutions x, [k, P]."""

    b: Rounded
    x: Float[ndarray, "k P"]


def eigensolver_error(factor: Rounded) -> float:
    """Distance from the true factor to the matrix that the computed eigenpairs diagonalise."""
    return float(
        np.linalg.norm(factor.error)
        + EIGENSOLVER * len(factor.value) * U * np.linalg.norm(factor.value, 2)
    )


def gauss_newton_solve(
    problem: MicroProblem, bounds: Bounds, vectors: Vectors
) -> Float[ndarray, " k"]:
    """Bound on ||x^ - x||_2 of a Cholesky solve with the structured GNH."""
    E = _cholesky_error(problem, bounds)
    slack = 1 - np.linalg.norm(E) / problem.damping
    return norms(np.abs(vectors.x) @ E) / problem.damping / slack


def gauss_newton_influence(
    problem: MicroProblem, bounds: Bounds, queries: Vectors, training: Vectors
) -> Float[ndarray, "Q N"]:
    """Bound on |x_q^T E x_m|, with its second-order term, and on the gradients' share."""
    E = _cholesky_error(problem, bounds)
    slack = 1 - np.linalg.norm(E) / problem.damping
    x_q, x_m = np.abs(queries.x), np.abs(training.x)
    second = np.outer(norms(x_q @ E), norms(x_m @ E)) / problem.damping / slack
    product = gamma(x_q.shape[1]) * x_q @ np.abs(training.b.value).T  # the final one, of length P
    return x_q @ E @ x_m.T + second + gradient_share(queries, training) + product


def _cholesky_error(problem: MicroProblem, bounds: Bounds) -> Float[ndarray, "P P"]:
    G = bounds.structured
    diagonal = np.diag(G.value) + problem.damping
    adding = U * np.diag(diagonal)  # the rounding of G_ii + lambda
    terms = gamma(3 * len(diagonal) + 1)
    return G.error + adding + terms * np.sqrt(np.outer(diagonal, diagonal))


def kfac_solve(problem: MicroProblem, bounds: Bounds, vectors: Vectors) -> Float[ndarray, " k"]:
    """Bound on ||x^ - x||_2 of Q_S ((Q_S^T V Q_A) / (w_S w_A^T + lambda)) Q_A^T, block by block."""
    squares = np.zeros(len(vectors.x))
    for (A, S), place in zip(bounds.factors, problem.slices, strict=True):
        c = _turning_error(S, A)
        X, V = _matrices(vectors.x, place, S, A), _matrices(vectors.b.value, place, S, A)
        e_A, e_S = eigensolver_error(A), eigensolver_error(S)
        # E = E_S (x) A + S (x) E_A + E_S (x) E_A acts on X as E_S X A + S X E_A + E_S X E_A
        EX = e_S * norms(X @ A.value) + e_A * norms(S.value @ X) + e_S * e_A * norms(X)
        q = (e_S * np.linalg.norm(A.value, 2) + e_A * np.linalg.norm(S.value, 2)) / problem.damping
        squares += ((EX + c * norms(V)) / problem.damping / (1 - q) + c * norms(X)) ** 2
    return np.sqrt(squares)


def kfac_influence(
    problem: MicroProblem, bounds: Bounds, queries: Vectors, training: Vectors
) -> Float[ndarray, "Q N"]:
    """Bound on the error of an influence by K-FAC, from the factors on.

    Summed over blocks, <X_q, E X_m>, and what `scores.eigenbasis` does: turn both gradients, which have
    rank one, into the eigenbasis (c each), weight one of them and take their product of length P.
    """
    total = gradient_share(queries, training)
    last = gamma(queries.x.shape[1] + 4)
    for (A, S), place in zip(bounds.factors, problem.slices, strict=True):
        c = _turning_error(S, A)
        e_A, e_S = eigensolver_error(A), eigensolver_error(S)
        X, V = _matrices(queries.x, place, S, A), _matrices(queries.b.value, place, S, A)
        Y, W = _matrices(training.x, place, S, A), _matrices(training.b.value, place, S, A)
        # <X, E_S Y A> <= e_S ||Y A X^T||_F and <X, S Y E_A> <= e_A ||X^T S Y||_F
        total += e_S * np.linalg.norm(Y @ A.value @ X.swapaxes(1, 2)[:, None], axis=(2, 3))
        total += e_A * np.linalg.norm((X.swapaxes(1, 2) @ S.value)[:, None] @ Y, axis=(2, 3))
        EX = e_S * norms(X @ A.value) + e_A * norms(S.value @ X) + e_S * e_A * norms(X)
        EY = e_S * norms(Y @ A.value) + e_A * norms(S.value @ Y) + e_S * e_A * norms(Y)
        q = (e_S * np.linalg.norm(A.value, 2) + e_A * np.linalg.norm(S.value, 2)) / problem.damping
        total += np.outer(EX, EY) / problem.damping / (1 - q)
        total += c * (np.outer(norms(V), norms(Y)) + np.outer(norms(X), norms(W)))
        total += c**2 * np.outer(norms(V), norms(W)) / problem.damping
        total += last * np.outer(norms(X) + c * norms(V) / problem.damping, (1 + c) * norms(W))
    return total


def own_basis_solve(
    problem: MicroProblem, basis: Basis, eigenvalues: list[Rounded], vectors: Rounded
) -> Rounded:
    """EK-FAC's solve in a basis taken as exact: every operation with its rounding, [k, P]."""
    parts: list[Rounded] = []
    for (Q_A, Q_S), L, place in zip(basis, eigenvalues, problem.slices, strict=True):
        V = vectors[:, place].reshape(-1, *L.value.shape)
        turned = without_error(Q_S.T) @ V @ without_error(Q_A)
        damped = L + without_error(np.full_like(L.value, problem.damping))
        back = without_error(Q_S) @ (turned / damped) @ without_error(Q_A.T)
        parts.append(back.reshape(len(vectors.value), -1))
    return Rounded(
        np.concatenate([p.value for p in parts], axis=1),
        np.concatenate([p.error for p in parts], axis=1),
    )


def _turning_error(S: Rounded, A: Rounded) -> float:
    """Relative error of V -> Q_S^T V Q_A, of the way back, and of dividing in between.

    Two products: gamma_{O+I} |Q_S|^T |V| |Q_A|, where || |Q| ||_2 <= ||Q||_F = sqrt(n). A basis that is
    orthonormal to 30 n u lies within 15 n u of one that is orthonormal. Forming w_S w_A + lambda
    and dividing by it: 3 u.
    """
    o, i = len(S.value), len(A.value)
    return gamma(o + i) * (o * i) ** 0.5 + EIGENSOLVER / 2 * (o + i) * U + 3 * U


def gradient_share(queries: Vectors, training: Vectors) -> Float[ndarray, "Q N"]:
    """The share of both gradients' errors in the error of an influence."""
    return np.abs(queries.x) @ training.b.error.T + queries.b.error @ np.abs(training.x).T


def _matrices(
    flat: Float[ndarray, "k P"], place: slice, S: Rounded, A: Rounded
) -> Float[ndarray, "k O I"]:
    return flat[:, place].reshape(-1, len(S.value), len(A.value))


def norms(rows: ndarray) -> Float[ndarray, " k"]:
    """Frobenius norm of each entry of the first axis."""
    return np.sqrt((rows.reshape(len(rows), -1) ** 2).sum(axis=1))
