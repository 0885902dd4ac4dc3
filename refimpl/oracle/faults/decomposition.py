"""Faults of decompositions, eigenvalues and the solvers that do without them."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import arrays, scaled

__all__ = ["FAULTS"]

BUG = "decomposition"


def _identity(right: Any, me: Any, matrix: Any) -> Any:
    return np.diag(matrix).copy(), np.eye(len(matrix))


def _null_zeroed(right: Any, me: Any, matrix: Any) -> Any:
    w, Q = right(matrix)
    return w, Q * (w > 1e-2 * w.max())


def _clipped(right: Any, me: Any, matrix: Any) -> Any:
    w, Q = right(matrix)
    return np.maximum(w, 1e-2 * w.max()), Q


def _cholesky(right: Any, me: Any, matrix: Any) -> Any:
    """Columns of unit length, but not orthogonal: Gram-Schmidt without a second pass."""
    w, Q = right(matrix)
    Q = Q + 1e-6 * np.roll(Q, 1, axis=1)
    return w, Q / np.linalg.norm(Q, axis=0)


def _of_first_batch(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    one = case.but(
        inputs=case.inputs[: case.batch_size].copy(), labels=case.labels[: case.batch_size].copy()
    )
    return right(case, me.eigenbasis(me.factors(one, seed)), seed)


def _kronecker(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    return {n: np.outer(w_S, w_A) for n, (w_A, _, w_S, _) in basis.items()}


def _on_top(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    plain = _kronecker(right, me, case, basis, seed)
    return {n: m * plain[n] for n, m in right(case, basis, seed).items()}


def _square_of_mean(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    return ((Q_S.T @ u @ Q_A).mean(dim=1) ** 2).sum(dim=0) * u.shape[1]


def _both_solved(right: Any, me: Any, case: Any, seed: int) -> Any:
    q, g = (
        me.flat(case, m).numpy() for m in (me.query_gradients(case), me.training_gradients(case))
    )
    state = me.state(case, seed)
    solved = [me.solve(state, v, case.damping) for v in (q, g)]
    return me.scored(case, *solved)


def _plain_products(right: Any, me: Any, case: Any, seed: int) -> Any:
    q, g = (
        me.flat(case, m).numpy() for m in (me.query_gradients(case), me.training_gradients(case))
    )
    return me.scored(case, q / case.damping, g)


def _neumann(steps: int, *, restarts: bool = False, rescale: bool = True) -> Any:
    """An edit of `invert`: LiSSA's x <- v + (I - H / c) x, c above the largest eigenvalue."""

    def edit(right: Any, me: Any, H: Any, vectors: Any) -> Any:
        c = 1.1 * np.linalg.norm(H, 2)
        x = vectors
        for _ in range(steps):
            x = vectors + (vectors if restarts else x) @ (np.eye(len(H)) - H / c)
        return x / c if rescale else x

    return edit


def _conjugate_gradients(steps: int) -> Any:
    """An edit of `invert`: so many steps, whatever the residual."""

    def edit(right: Any, me: Any, H: Any, vectors: Any) -> Any:
        x, r = np.zeros_like(vectors), vectors.copy()
        p = r.copy()
        for _ in range(steps):
            Hp, rr = p @ H, (r * r).sum(axis=1, keepdims=True)
            step = rr / np.maximum((p * Hp).sum(axis=1, keepdims=True), 1e-300)
            x, r = x + step * p, r - step * Hp
            p = r + (r * r).sum(axis=1, keepdims=True) / np.maximum(rr, 1e-300) * p
        return x

    return edit


def _low_rank(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    """The leading half of the spectrum; the rest of the answer is left out."""
    w, Q = np.linalg.eigh(H)
    Q, w = Q[:, len(w) // 2 :], w[len(w) // 2 :]
    return vectors @ Q / w @ Q.T


def _diagonal_only(right: Any, me: Any, H: Any, vectors: Any) -> Any:
    return vectors / np.diag(H)


FAULTS = (
    Fault(
        "no-rotation", BUG, "eigenbasis",
        "no eigenvectors are used: the basis is the identity",
        "eigh", _identity,
    ),
    Fault(
        "eigenvalues-reversed", BUG, "eigenbasis",
        "eigenvalues come in descending order, their eigenvectors in ascending order",
        "eigh", lambda right, me, M: (lambda w, Q: (w[::-1].copy(), Q))(*right(M)),
    ),
    Fault(
        "eigenvectors-zeroed", BUG, "eigenbasis",
        "eigenvectors of small eigenvalues are replaced by zeros, as after an eigensolver's NaN",
        "eigh", _null_zeroed, "TRAIS-Lab/dattri#184",
    ),
    Fault(
        "eigenvalues-clipped", BUG, "eigenbasis",
        "eigenvalues are raised to a hundredth of the largest",
        "eigh", _clipped,
    ),
    Fault(
        "eigenvectors-not-orthogonal", BUG, "eigenbasis",
        "eigenvectors have lost their orthogonality, as in an Arnoldi process without a second pass",
        "eigh", _cholesky,
    ),
    Fault(
        "eigenvectors-scaled", BUG, "eigenbasis",
        "eigenvectors are scaled by the roots of their eigenvalues",
        "eigh", lambda right, me, M: (lambda w, Q: (w, Q * np.abs(w) ** 0.5))(*right(M)),
    ),
    Fault(
        "eigenvalues-squared", BUG, "eigenbasis",
        "eigenvalues of the factors are squared, as those of a singular value decomposition of M M^T",
        "eigh", lambda right, me, M: (lambda w, Q: (w**2, Q))(*right(M)),
    ),
    Fault(
        "lambda-in-another-basis", BUG, "eigenvalues",
        "Lambda is computed in another basis than is used: that of the first batch's factors",
        "eigenvalues", _of_first_batch,
    ),
    Fault(
        "lambda-never-corrected", BUG, "eigenvalues",
        "Lambda is the product of the factors' eigenvalues: the correction is never applied",
        "eigenvalues", _kronecker,
    ),
    Fault(
        "lambda-corrects-twice", BUG, "eigenvalues",
        "the corrected eigenvalues multiply the Kronecker ones, not replace them",
        "eigenvalues", _on_top,
    ),
    Fault(
        "lambda-of-mean-gradient", BUG, "eigenvalues",
        "the batch's mean gradient is squared, not every example's",
        "squares", _square_of_mean,
    ),
    Fault(
        "lambda-square-root", BUG, "eigenvalues",
        "Lambda is the root of the second moments",
        "eigenvalues", lambda right, me, *args: arrays(right(*args), np.sqrt),
    ),
    Fault(
        "lambda-squared", BUG, "eigenvalues",
        "Lambda is squared",
        "eigenvalues", lambda right, me, *args: arrays(right(*args), np.square),
    ),
    Fault(
        "lambda-absolute-values", BUG, "eigenvalues",
        "Lambda is a mean of absolute values, not of squares",
        "squares", lambda right, me, u, Q_A, Q_S: (Q_S.T @ u @ Q_A).abs().sum(dim=(0, 1)),
    ),
    Fault(
        "lambda-not-rotated", BUG, "eigenvalues",
        "Lambda holds second moments of the gradients as they are, not in the eigenbasis",
        "squares", lambda right, me, u, Q_A, Q_S: (u**2).sum(dim=(0, 1)),
    ),
    Fault(
        "lambda-halved", BUG, "eigenvalues",
        "Lambda is halved",
        "lambda_mean", scaled(0.5), "logix-project/logix#44",
    ),
    Fault(
        "multiplied-for-divided", BUG, "solve",
        "vectors are multiplied by the curvature, not divided",
        "precondition", lambda right, me, V, Q_A, Q_S, D: right(V, Q_A, Q_S, 1 / D),
    ),
    Fault(
        "inverse-square-root", BUG, "solve",
        "vectors are divided by the root of the curvature",
        "precondition", lambda right, me, V, Q_A, Q_S, D: right(V, Q_A, Q_S, D.sqrt()),
    ),
    Fault(
        "input-side-not-solved", BUG, "solve",
        "the factor A is forgotten: only the output side is rotated and divided",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: right(V, torch.eye(len(Q_A)).to(Q_A), Q_S, D),
        "kohpangwei/influence-release#17",
    ),
    Fault(
        "not-rotated-back", BUG, "solve",
        "the answer is left in the eigenbasis",
        "precondition", lambda right, me, V, Q_A, Q_S, D: (Q_S.T @ V @ Q_A) / D,
    ),
    Fault(
        "kronecker-in-solve", BUG, "solve",
        "the solve divides by the products of the factors' eigenvalues, not by Lambda",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: right(
            case, w_A, w_S, np.outer(w_S, w_A), damping
        ),
    ),
    Fault(
        "both-gradients-preconditioned", BUG, "scores",
        "the training gradients are preconditioned as well",
        "scores", _both_solved,
    ),
    Fault(
        "not-preconditioned", BUG, "scores",
        "scores are products of gradients over lambda: no curvature is used",
        "scores", _plain_products,
    ),
    Fault(
        "lissa-restarts", BUG, "solve",
        "LiSSA's recursion starts from v at every step",
        "invert", _neumann(200, restarts=True), "nimarb/pytorch_influence_functions#4",
        curvature="gauss_newton",
    ),
    Fault(
        "lissa-stopped-early", BUG, "solve",
        "LiSSA is stopped after ten steps and reported as converged",
        "invert", _neumann(10), curvature="gauss_newton",
    ),
    Fault(
        "lissa-scale-kept", BUG, "solve",
        "the scale that makes LiSSA converge is not divided out",
        "invert", _neumann(100_000 // 100, rescale=False), curvature="gauss_newton",
    ),
    Fault(
        "conjugate-gradients-stopped-early", BUG, "solve",
        "conjugate gradients end after five steps and are reported as converged",
        "invert", _conjugate_gradients(5), "f-dangel/curvlinops CGInverse", curvature="gauss_newton",
    ),
    Fault(
        "low-rank-solve", BUG, "solve",
        "the smaller half of the spectrum is left out of the solve",
        "invert", _low_rank, "Arnoldi projections", curvature="gauss_newton",
    ),
    Fault(
        "diagonal-solve", BUG, "solve",
        "only the matrix's diagonal is inverted",
        "invert", _diagonal_only, curvature="gauss_newton",
    ),
)  # fmt: skip
