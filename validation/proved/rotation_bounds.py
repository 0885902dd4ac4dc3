"""Bounds for EK-FAC end to end: how errors of the factors move its basis, Lambda and answers.

EK-FAC is a function of A and S through their eigenvectors, whose sensitivity is ||E|| / gap (Davis &
Kahan 1970). It is bounded here where the spectrum is proved simple and the gaps are
wide enough that no eigenvector turns by more than `LARGEST_TURN`; a factor without that keeps the
implementation's own basis, which is then no source of error.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from validation.proved.problems import MicroProblem
from validation.proved.rounding import Rounded, U, gamma
from validation.proved.solve_bounds import (
    EIGENSOLVER,
    Vectors,
    eigensolver_error,
    gradient_share,
    norms,
)

__all__ = ["Turned", "eigenvalue_error", "influence_error", "solve_error", "turns"]

# Beyond this the first-order theory of eigenvectors is not to be relied on.
LARGEST_TURN = 1e-3


@dataclass(frozen=True)
class Turned:
    """One block in its eigenbasis, with how far the computed basis may have turned from it.

    Args:
        Q_A: Eigenvectors of A [I, I].
        Q_S: Eigenvectors of S [O, O].
        turn_A: Bounds on |q_i^T q^_j| for i != j, zero on the diagonal, [I, I].
        turn_S: The same for S, [O, O].
        eigenvalues: Lambda with the bound of its own evaluation in a given basis, [O, I].
        skew: Bound on ||Q^T Q - I||_2 / n of the computed bases; 0 where the true answer is meant in
            the computed basis, orthonormal or not.
    """

    Q_A: Float[ndarray, "I I"]
    Q_S: Float[ndarray, "O O"]
    turn_A: Float[ndarray, "I I"]
    turn_S: Float[ndarray, "O O"]
    eigenvalues: Rounded
    skew: float = EIGENSOLVER * U


def turns(factor: Rounded, values: Float[ndarray, " n"]) -> Float[ndarray, "n n"]:
    """||E|| / (gap - 2 ||E||) for every pair of eigenvalues; infinite where the gap is too small."""
    error = eigensolver_error(factor)
    gaps = np.abs(values[:, None] - values[None, :]) - 2 * error
    with np.errstate(divide="ignore"):
        turn = np.where(gaps > 0, error / np.where(gaps > 0, gaps, 1.0), np.inf)
    np.fill_diagonal(turn, 0.0)
    return turn


def eigenvalue_error(block: Turned) -> Float[ndarray, "O I"]:
    """Bound on the error of Lambda, turns included.

    sqrt(Lambda_oi) is the L2 norm of q_o^T (Ds a~^T) q_i, so that turning q_i by omega changes it by at
    most rho = sum_j |omega_ji| sqrt(Lambda_oj), likewise for q_o; Lambda changes by 2 sqrt(Lambda) rho +
    rho^2. A basis orthonormal to 30 n u adds 15 n u to every entry of omega.
    """
    o, i = block.eigenvalues.value.shape
    roots = np.sqrt(np.abs(block.eigenvalues.value))
    loose_A, loose_S = block.skew / 2 * i, block.skew / 2 * o
    rho = roots @ (block.turn_A + loose_A) + (block.turn_S + loose_S).T @ roots
    return block.eigenvalues.error + 2 * roots * rho + rho**2


def solve_error(
    problem: MicroProblem, blocks: list[Turned], vectors: Vectors
) -> Float[ndarray, " k"]:
    """Bound on ||x^ - x||_2 of EK-FAC's solve, from the factors on."""
    squares = np.zeros(len(vectors.x))
    for block, place in zip(blocks, problem.slices, strict=True):
        V, X, Y = _coordinates(block, place, vectors)
        damped = block.eigenvalues.value + problem.damping
        noise = _turning_noise(block, V)
        dY = np.zeros_like(Y)
        for _ in range(
            5
        ):  # |dY| <= (dM (|Y| + |dY|) + noise) / (D + lambda), iterated to its fixed point
            dY = (_perturbation(block, Y + dY) + noise) / damped
        squares += (norms(dY) + _back_error(block) * norms(X)) ** 2
    return np.sqrt(squares)


def influence_error(
    problem: MicroProblem, blocks: list[Turned], queries: Vectors, training: Vectors
) -> Float[ndarray, "Q N"]:
    """Bound on the error of an influence by EK-FAC, from the factors on.

    In the eigenbasis, where a gradient has no part in the null space of Lambda: there the errors of
    the solve are largest, by 1 / lambda, and meet nothing. Both gradients, of rank one, are turned, one is
    weighted by 1 / (Lambda + lambda), and their product has length P (refimpl.scores.eigenbasis).
    """
    total = gradient_share(queries, training)
    last = gamma(queries.x.shape[1] + 4)
    for block, place in zip(blocks, problem.slices, strict=True):
        V, _, Y = _coordinates(block, place, queries)
        W, _, Z = _coordinates(block, place, training)
        dV, dW = _turning_noise(block, V), _turning_noise(block, W)
        turned = np.abs(block.Q_S.T @ W @ block.Q_A)
        damped = block.eigenvalues.value + problem.damping
        dZ = np.zeros_like(Z)
        for _ in range(5):
            dZ = _perturbation(block, Z + dZ) / damped
        for first, second in (
            (Y, _perturbation(block, Z + dZ)),
            (dV, Z + dZ),
            (Y + dV / damped, dW + last * (turned + dW)),
        ):
            total += np.einsum("qoi,moi->qm", first, second)
    return total


def _coordinates(
    block: Turned, place: slice, vectors: Vectors
) -> tuple[Float[ndarray, "k O I"], Float[ndarray, "k O I"], Float[ndarray, "k O I"]]:
    """The right-hand sides V, the solutions X, and |X| in the eigenbasis."""
    shape = block.eigenvalues.value.shape
    V = vectors.b.value[:, place].reshape(-1, *shape)
    X = vectors.x[:, place].reshape(-1, *shape)
    return V, X, np.abs(block.Q_S.T @ X @ block.Q_A)


def _perturbation(block: Turned, Y: Float[ndarray, "k O I"]) -> Float[ndarray, "k O I"]:
    """|dM| Y in the eigenbasis, Y >= 0, for M = Q D Q^T turned by Q(I + Omega) with D moved by dD.

    dM = dD + Omega D - D Omega with Omega antisymmetric, so that its entries are |omega_ij| |D_j - D_i|.
    """
    D = np.abs(block.eigenvalues.value)
    across = block.turn_A * np.abs(D[:, :, None] - D[:, None, :])  # [O, I, I]
    down = block.turn_S * np.abs(D.T[:, :, None] - D.T[:, None, :])  # [I, O, O]
    return (
        np.einsum("oij,koj->koi", across, Y)
        + np.einsum("iop,kpi->koi", down, Y)
        + eigenvalue_error(block) * Y
    )


def _turning_noise(block: Turned, V: Float[ndarray, "k O I"]) -> Float[ndarray, "k O I"]:
    """Error of Q_S^T V Q_A: the roundings of two products, and a basis orthonormal to 30 n u only."""
    o, i = block.eigenvalues.value.shape
    rounding = gamma(o + i) * np.abs(block.Q_S).T @ np.abs(V) @ np.abs(block.Q_A)
    turned = np.abs(block.Q_S.T @ V @ block.Q_A)
    loose = i * turned.sum(axis=2, keepdims=True) + o * turned.sum(axis=1, keepdims=True)
    return rounding + block.skew / 2 * loose


def _back_error(block: Turned) -> float:
    """Relative error of Q_S (.) Q_A^T and of the division; see `solve_bounds._turning_error`."""
    o, i = block.eigenvalues.value.shape
    return gamma(o + i) * (o * i) ** 0.5 + block.skew / 2 * (o + i) + 3 * U
