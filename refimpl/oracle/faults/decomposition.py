"""Faults of decompositions, eigenvalues and the solvers that do without them."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import arrays, scaled


def _kronecker(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    return {n: np.outer(w_S, w_A) for n, (w_A, _, w_S, _) in basis.items()}


def _neumann(
    right: Any,
    me: Any,
    H: Any,
    vectors: Any,
    *,
    steps: int,
    restarts: bool = False,
    rescale: bool = True,
) -> Any:
    """LiSSA: x <- v + (I - H / c) x, with c above the largest eigenvalue."""
    c = 1.1 * np.linalg.norm(H, 2)
    x = vectors
    for _ in range(steps):
        x = vectors + (vectors if restarts else x) @ (np.eye(len(H)) - H / c)
    return x / c if rescale else x


def _conjugate_gradients(right: Any, me: Any, H: Any, vectors: Any, *, steps: int) -> Any:
    """So many steps of conjugate gradients, whatever the residual."""
    x, r = np.zeros_like(vectors), vectors.copy()
    p = r.copy()
    for _ in range(steps):
        Hp, rr = p @ H, (r * r).sum(axis=1, keepdims=True)
        step = rr / np.maximum((p * Hp).sum(axis=1, keepdims=True), 1e-300)
        x, r = x + step * p, r - step * Hp
        p = r + (r * r).sum(axis=1, keepdims=True) / np.maximum(rr, 1e-300) * p
    return x


@mistake("eigenbasis", edits="eigh")
def no_rotation(right: Any, me: Any, matrix: Any) -> Any:
    """no eigenvectors are used: the basis is the identity"""
    return np.diag(matrix).copy(), np.eye(len(matrix))


@mistake("eigenbasis", edits="eigh")
def eigenvalues_reversed(right: Any, me: Any, M: Any) -> Any:
    """eigenvalues come in descending order, their eigenvectors in ascending order"""
    return (lambda w, Q: (w[::-1].copy(), Q))(*right(M))


@mistake("eigenbasis", edits="eigh", thread="TRAIS-Lab/dattri#184")
def eigenvectors_zeroed(right: Any, me: Any, matrix: Any) -> Any:
    """eigenvectors of small eigenvalues are replaced by zeros, as after an eigensolver's NaN"""
    w, Q = right(matrix)
    return w, Q * (w > 1e-2 * w.max())


@mistake("eigenbasis", edits="eigh")
def eigenvalues_clipped(right: Any, me: Any, matrix: Any) -> Any:
    """eigenvalues are raised to a hundredth of the largest"""
    w, Q = right(matrix)
    return np.maximum(w, 1e-2 * w.max()), Q


@mistake("eigenbasis", edits="eigh")
def eigenvectors_not_orthogonal(right: Any, me: Any, matrix: Any) -> Any:
    """eigenvectors have lost their orthogonality, as in an Arnoldi process without a second pass

    Columns of unit length, but not orthogonal: Gram-Schmidt without a second pass.
    """
    w, Q = right(matrix)
    Q = Q + 1e-6 * np.roll(Q, 1, axis=1)
    return w, Q / np.linalg.norm(Q, axis=0)


@mistake("eigenbasis", edits="eigh")
def eigenvectors_scaled(right: Any, me: Any, M: Any) -> Any:
    """eigenvectors are scaled by the roots of their eigenvalues"""
    return (lambda w, Q: (w, Q * np.abs(w) ** 0.5))(*right(M))


@mistake("eigenbasis", edits="eigh")
def eigenvalues_squared(right: Any, me: Any, M: Any) -> Any:
    """eigenvalues of the factors are squared, as those of a singular value decomposition of M M^T"""
    return (lambda w, Q: (w**2, Q))(*right(M))


@mistake("eigenvalues", edits="eigenvalues")
def lambda_in_another_basis(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """Lambda is computed in another basis than is used: that of the first batch's factors"""
    one = case.but(
        inputs=case.inputs[: case.batch_size].copy(), labels=case.labels[: case.batch_size].copy()
    )
    return right(case, me.eigenbasis(me.factors(one, seed)), seed)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_never_corrected(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """Lambda is the product of the factors' eigenvalues: the correction is never applied"""
    return _kronecker(right, me, case, basis, seed)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_corrects_twice(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """the corrected eigenvalues multiply the Kronecker ones, not replace them"""
    plain = _kronecker(right, me, case, basis, seed)
    return {n: m * plain[n] for n, m in right(case, basis, seed).items()}


@mistake("eigenvalues", edits="squares")
def lambda_of_mean_gradient(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """the batch's mean gradient is squared, not every example's"""
    return ((Q_S.T @ u @ Q_A).mean(dim=1) ** 2).sum(dim=0) * u.shape[1]


@mistake("eigenvalues", edits="eigenvalues")
def lambda_square_root(right: Any, me: Any, *args: Any) -> Any:
    """Lambda is the root of the second moments"""
    return arrays(right(*args), np.sqrt)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_squared(right: Any, me: Any, *args: Any) -> Any:
    """Lambda is squared"""
    return arrays(right(*args), np.square)


@mistake("eigenvalues", edits="squares")
def lambda_absolute_values(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """Lambda is a mean of absolute values, not of squares"""
    return (Q_S.T @ u @ Q_A).abs().sum(dim=(0, 1))


@mistake("eigenvalues", edits="squares")
def lambda_not_rotated(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """Lambda holds second moments of the gradients as they are, not in the eigenbasis"""
    return (u**2).sum(dim=(0, 1))


@mistake("eigenvalues", edits="lambda_mean", thread="logix-project/logix#44")
def lambda_halved(right: Any, me: Any, *args: Any) -> Any:
    """Lambda is halved"""
    return scaled(right(*args), 0.5)


@mistake("solve", edits="precondition")
def multiplied_for_divided(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """vectors are multiplied by the curvature, not divided"""
    return right(V, Q_A, Q_S, 1 / D)


@mistake("solve", edits="precondition")
def inverse_square_root(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """vectors are divided by the root of the curvature"""
    return right(V, Q_A, Q_S, D.sqrt())


@mistake("solve", edits="precondition", thread="kohpangwei/influence-release#17")
def input_side_not_solved(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the factor A is forgotten: only the output side is rotated and divided"""
    return right(V, torch.eye(len(Q_A)).to(Q_A), Q_S, D)


@mistake("solve", edits="precondition")
def not_rotated_back(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the answer is left in the eigenbasis"""
    return (Q_S.T @ V @ Q_A) / D


@mistake("solve", edits="damped")
def kronecker_in_solve(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """the solve divides by the products of the factors' eigenvalues, not by Lambda"""
    return right(case, w_A, w_S, np.outer(w_S, w_A), damping)


@mistake("scores", edits="scores")
def both_gradients_preconditioned(right: Any, me: Any, case: Any, seed: int) -> Any:
    """the training gradients are preconditioned as well"""
    q, g = (
        me.flat(case, m).numpy() for m in (me.query_gradients(case), me.training_gradients(case))
    )
    state = me.state(case, seed)
    solved = [me.solve(state, v, case.damping) for v in (q, g)]
    return me.scored(case, *solved)


@mistake("scores", edits="scores")
def not_preconditioned(right: Any, me: Any, case: Any, seed: int) -> Any:
    """scores are products of gradients over lambda: no curvature is used"""
    q, g = (
        me.flat(case, m).numpy() for m in (me.query_gradients(case), me.training_gradients(case))
    )
    return me.scored(case, q / case.damping, g)


@mistake(
    "solve", edits="invert", thread="nimarb/pytorch_influence_functions#4", curvature="gauss_newton"
)
def lissa_restarts(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """LiSSA's recursion starts from v at every step"""
    return _neumann(right, me, H, vectors, steps=200, restarts=True)


@mistake("solve", edits="invert", curvature="gauss_newton")
def lissa_stopped_early(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """LiSSA is stopped after ten steps and reported as converged"""
    return _neumann(right, me, H, vectors, steps=10)


@mistake("solve", edits="invert", curvature="gauss_newton")
def lissa_scale_kept(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """the scale that makes LiSSA converge is not divided out"""
    return _neumann(right, me, H, vectors, steps=100_000 // 100, rescale=False)


@mistake("solve", edits="invert", thread="f-dangel/curvlinops CGInverse", curvature="gauss_newton")
def conjugate_gradients_stopped_early(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """conjugate gradients end after five steps and are reported as converged"""
    return _conjugate_gradients(right, me, H, vectors, steps=5)


@mistake("solve", edits="invert", thread="Arnoldi projections", curvature="gauss_newton")
def low_rank_solve(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """the smaller half of the spectrum is left out of the solve

    The leading half of the spectrum; the rest of the answer is left out.
    """
    w, Q = np.linalg.eigh(H)
    Q, w = Q[:, len(w) // 2 :], w[len(w) // 2 :]
    return vectors @ Q / w @ Q.T


@mistake("solve", edits="invert", curvature="gauss_newton")
def diagonal_solve(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """only the matrix's diagonal is inverted"""
    return vectors / np.diag(H)
