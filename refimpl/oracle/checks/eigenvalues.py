"""Stage "eigenvalues": Lambda against the reference and the dense block, in the basis at hand."""

import numpy as np

from refimpl.oracle.checks.check import Check, labels_known, worst
from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.eigenvalues import EIGENVALUES
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["CHECKS"]

BOTH: tuple[Mode, ...] = ("isolated", "chained")


def _equal(trial: Trial, mode: Mode) -> float:
    truth, basis = trial.truth, trial.basis_for(mode)
    right, eigenvalues = truth.eigenvalues_in(basis), trial.eigenvalues(mode)
    scale = EIGENVALUES.scale(truth, {"basis": basis})
    return max(worst(eigenvalues[n] - right[n], scale[n], trial.unit) for n in right)


def _blocks(truth: Truth) -> dict[str, Array]:
    """The diagonal block [O, I, O, I] of every layer."""
    G, blocks, start = truth.second_moment, dict[str, Array](), 0
    for name, (rows, columns) in truth.shapes().items():
        size = rows * columns
        block = G[start : start + size, start : start + size]
        if truth.conventions.vec_order == "in_major":
            blocks[name] = block.reshape(columns, rows, columns, rows).transpose(1, 0, 3, 2)
        else:
            blocks[name] = block.reshape(rows, columns, rows, columns)
        start += size
    return blocks


def _trace(trial: Trial, mode: Mode) -> float:
    truth, eigenvalues = trial.truth, trial.eigenvalues(mode)

    def traces(t: Truth) -> Array:
        return np.array([np.einsum("oioi->", B) for B in _blocks(t).values()])

    right = traces(truth)
    sums = np.array([eigenvalues[n].sum() for n in truth.shapes()])
    # The basis's own lack of orthogonality enters as n u; the sum of Lambda >= 0 adds u sqrt(n).
    sizes = np.array([o + i for o, i in truth.shapes().values()])
    return worst(sums - right, scale_of(truth, traces) + right * sizes, trial.unit)


def _diagonal(trial: Trial, mode: Mode) -> float:
    truth, basis, eigenvalues = trial.truth, trial.basis_for(mode), trial.eigenvalues(mode)

    def diagonal(block: Array, name: str) -> Array:
        _, Q_A, _, Q_S = basis[name]
        half = np.einsum("oipq,pj,qk->oijk", block, Q_S, Q_A, optimize=True)
        return np.einsum("oijk,oj,ik->jk", half, Q_S, Q_A, optimize=True)

    blocks = _blocks(truth)
    scale = EIGENVALUES.scale(truth, {"basis": basis})
    return max(
        worst(
            eigenvalues[n] - diagonal(blocks[n], n),
            # Q^T G Q in float64 loses u ||G||, which the entries' own scale need not hold.
            scale[n] + np.linalg.norm(blocks[n].reshape(eigenvalues[n].size, -1), 2),
            trial.unit,
        )
        for n in eigenvalues
    )


def _nearest(trial: Trial, mode: Mode) -> float:
    """The excess of EK-FAC's distance from the block over K-FAC's, over its rounding error."""
    truth, basis = trial.truth, trial.basis_for(mode)
    eigenvalues, factors, blocks = trial.eigenvalues(mode), trial.factors_for(mode), _blocks(truth)
    scale = EIGENVALUES.scale(truth, {"basis": basis})
    ratios: list[float] = []
    for name, Lambda in eigenvalues.items():
        _, Q_A, _, Q_S = basis[name]
        G = blocks[name].reshape(Lambda.size, -1)
        Q = np.kron(Q_S, Q_A)
        A, S = factors[name]
        ekfac = np.linalg.norm(G - (Q * Lambda.reshape(-1)) @ Q.T)
        excess = max(float(ekfac - np.linalg.norm(G - np.kron(S, A))), 0.0)
        size = np.linalg.norm(scale[name]) + np.linalg.norm(G) * Lambda.size**0.5
        ratios.append(worst(np.array([excess]), np.array([size]), trial.unit))
    return max(ratios)


def _nonnegative(trial: Trial, mode: Mode) -> float:
    """Sums of squares: not even rounding makes them negative."""
    low = min(float(m.min()) for m in trial.eigenvalues(mode).values())
    return 0.0 if low >= 0 else np.inf


CHECKS = (
    Check(
        "eigenvalues-equal",
        "stages",
        "eigenvalues",
        "Lambda is the second moment of the rotated gradients, positions summed before squaring, in "
        "whatever basis it is given.",
        "Lambda = (1/N) sum_n E[(Q_S^T (sum_r g a^T) Q_A)^2]",
        "George et al. 2018, eq. 7; Grosse et al. 2023, section 2.2",
        "what relative perturbations u of weights, inputs, basis and stored result change",
        _equal,
        applies=labels_known,
        modes=BOTH,
        shows=True,
    ),
    Check(
        "eigenvalues-diagonal",
        "stages",
        "eigenvalues",
        "Lambda is the diagonal of the layer's block of the dense matrix in the basis.",
        "Lambda = diag(Q^T G Q), Q = Q_S (x) Q_A",
        "George et al. 2018, section 3",
        "as for eigenvalues-equal, and u ||G||_2 for the rotation of the dense block",
        _diagonal,
        applies=labels_known,
        modes=BOTH,
        shows=True,
    ),
    Check(
        "eigenvalues-trace",
        "stages",
        "eigenvalues",
        "The corrected eigenvalues of a layer sum to the trace of its block, in any basis.",
        "sum Lambda = tr G",
        "George et al. 2018, section 3",
        "perturbations u of weights and inputs, and (O + I) u tr G for the basis's orthogonality",
        _trace,
        applies=labels_known,
        modes=BOTH,
    ),
    Check(
        "eigenvalues-nearest",
        "stages",
        "eigenvalues",
        "No diagonal in this basis is nearer to the block: in particular not K-FAC's own.",
        "||G - Q Lambda Q^T||_F <= ||G - S (x) A||_F",
        "George et al. 2018, theorem 2",
        "u (||scale of Lambda|| + sqrt(O I) ||G||): the rounding of both distances",
        _nearest,
        applies=labels_known,
        modes=BOTH,
    ),
    Check(
        "eigenvalues-nonnegative",
        "stages",
        "eigenvalues",
        "Corrected eigenvalues are sums of squares and not negative.",
        "Lambda >= 0",
        "George et al. 2018, eq. 7",
        "exact: rounding makes no square negative",
        _nonnegative,
        modes=BOTH,
    ),
)
