"""Enclosures of eigenbases, corrected eigenvalues, damped solves and influences."""

from dataclasses import dataclass

from flint import acb_mat, arb, arb_mat

from validation.proved.arb_mlp import Enclosure
from validation.proved.balls import column_slice, diagonal, row, stack
from validation.proved.problems import MicroProblem

__all__ = [
    "Eigenpairs",
    "corrected_eigenvalues",
    "eigenpairs",
    "influences",
    "solve_eigenbasis",
    "solve_gauss_newton",
    "solve_kfac",
]

Basis = list[tuple[arb_mat, arb_mat]]


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues in ascending order, proved simple, and orthonormal eigenvectors as columns."""

    values: list[arb]
    vectors: arb_mat


def eigenpairs(matrix: arb_mat) -> Eigenpairs | None:
    """Enclose all eigenpairs of a symmetric matrix; None where the spectrum is not proved simple.

    `acb_mat.eig` proves that each ball holds exactly one eigenvalue (Rump's test for simple
    eigenpairs). The matrix is real and symmetric, so eigenvalue and eigenvector are real once an
    entry of the vector is divided out, and the imaginary parts may be dropped.
    """
    try:
        values, vectors = acb_mat(matrix).eig(right=True)
    except ValueError:  # python-flint: "failed to isolate eigenvalues"
        return None
    size = matrix.nrows()
    pairs: list[tuple[arb, list[arb]]] = []
    for j in range(size):
        column = [vectors[i, j] for i in range(size)]
        pivot = max(column, key=lambda z: float(abs(z).mid()))
        real = [(z / pivot).real for z in column]
        norm = sum((x**2 for x in real), arb(0)).sqrt()
        pairs.append((values[j].real, [x / norm for x in real]))
    pairs.sort(key=lambda pair: float(pair[0].mid()))
    disjoint = all(not a.overlaps(b) for (a, _), (b, _) in zip(pairs[:-1], pairs[1:], strict=True))
    if not disjoint:
        return None
    return Eigenpairs(
        [value for value, _ in pairs], arb_mat([vector for _, vector in pairs]).transpose()
    )


def corrected_eigenvalues(enclosure: Enclosure, layer: int, Q_A: arb_mat, Q_S: arb_mat) -> arb_mat:
    """Lambda_oi = (1/N) sum_n E[(q_o^T Ds a~^T q_i)^2] = (1/N) sum_n (q_o^T B^T H B q_o) (a~^T q_i)^2."""
    sizes = Q_S.ncols(), Q_A.ncols()
    outer: list[list[arb]] = []
    squares: list[list[arb]] = []
    for p, H in zip(enclosure.passes, enclosure.hessians, strict=True):
        BQ = p.backward[layer] * Q_S
        HBQ = H * BQ
        outer.append(
            [
                sum((BQ[c, o] * HBQ[c, o] for c in range(BQ.nrows())), arb(0))
                for o in range(sizes[0])
            ]
        )
        squares.append([x**2 for x in (p.inputs[layer].transpose() * Q_A).entries()])
    return arb_mat(outer).transpose() * arb_mat(squares) / len(squares)


def solve_gauss_newton(problem: MicroProblem, enclosure: Enclosure, vectors: arb_mat) -> arb_mat:
    """Rows (G + lambda I)^-1 v of the rows v, [k, P]."""
    return _solve(enclosure.gauss_newton, problem.damping, vectors)


def solve_kfac(problem: MicroProblem, enclosure: Enclosure, vectors: arb_mat) -> arb_mat:
    """Rows (S (x) A + lambda I)^-1 v, block by block, from the Kronecker product itself."""
    parts = [
        _solve(_kron(S, A), problem.damping, column_slice(vectors, place))
        for (A, S), place in zip(enclosure.factors, problem.slices, strict=True)
    ]
    return stack([part.transpose() for part in parts]).transpose()


def solve_eigenbasis(
    problem: MicroProblem, basis: Basis, eigenvalues: list[arb_mat], vectors: arb_mat
) -> arb_mat:
    """Rows with blocks Q_S ((Q_S^T V Q_A) / (Lambda + lambda)) Q_A^T (Grosse et al. 2023, eq. 20).

    The formula as it stands, whether or not the columns of Q are orthonormal.
    """
    damping = arb(problem.damping)
    rows: list[list[arb]] = []
    for k in range(vectors.nrows()):
        flat: list[arb] = []
        for (Q_A, Q_S), L, place in zip(basis, eigenvalues, problem.slices, strict=True):
            V = arb_mat(Q_S.nrows(), Q_A.nrows(), row(vectors, k)[place])
            turned = Q_S.transpose() * V * Q_A
            divided = [
                x / (value + damping)
                for x, value in zip(turned.entries(), L.entries(), strict=True)
            ]
            back = Q_S * arb_mat(L.nrows(), L.ncols(), divided) * Q_A.transpose()
            flat.extend(back.entries())
        rows.append(flat)
    return arb_mat(rows)


def influences(solved_queries: arb_mat, enclosure: Enclosure) -> arb_mat:
    """-(M^-1 grad f_q)^T grad l_m, [Q, N]."""
    return -(solved_queries * enclosure.gradients.transpose())


def _solve(matrix: arb_mat, damping: float, vectors: arb_mat) -> arb_mat:
    damped = matrix + diagonal([arb(damping)] * matrix.nrows())
    return damped.solve(vectors.transpose(), algorithm="precond").transpose()


def _kron(S: arb_mat, A: arb_mat) -> arb_mat:
    """S (x) A, which acts on the row-major flattening of V [O, I] as S V A^T."""
    size = S.nrows() * A.nrows()
    entries = [
        S[o, p] * A[i, j]
        for o in range(S.nrows())
        for i in range(A.nrows())
        for p in range(S.nrows())
        for j in range(A.nrows())
    ]
    return arb_mat(size, size, entries)
