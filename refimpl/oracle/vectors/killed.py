"""Which planted faults a vector shows: what it is worth as a test, measured and not promised."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refimpl.oracle.checks.check import THRESHOLD, worst
from refimpl.oracle.faults import FAULTS, Fault, faulty
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.subject.adapter import STAGES, State
from refimpl.oracle.truth.kronecker import Basis

__all__ = ["answers", "killed"]

U = ROUNDOFF["float64"]
# Output name -> (what is right, its scale), as the generator has them.
Outputs = Mapping[str, tuple[Array, Array]]


def killed(case: Case, vectors: Array, basis: Basis, outputs: Outputs) -> dict[str, Any]:
    """An entry of `checks_made`: the faults with which some answer fails, of those that keep conventions.

    Args:
        case: The case.
        vectors: What is multiplied and solved [k, P].
        basis: What later stages are given.
        outputs: The right outputs and their scales.
    """
    tried = [fault for fault in FAULTS if not fault.conventions]
    return {
        "kind": "faults",
        "outputs": sorted(outputs),
        "killed": sorted(f.slug for f in tried if _shows(f, case, vectors, basis, outputs)),
        "of": len(tried),
    }


def _shows(fault: Fault, case: Case, vectors: Array, basis: Basis, outputs: Outputs) -> bool:
    # From the stage in which it shows first; scores, the last, depend on all of them.
    for stage in STAGES[STAGES.index(fault.stage) :]:
        try:
            with np.errstate(all="ignore"):
                found = dict(
                    answers(stage, faulty(fault), fault.curvature, case, vectors, basis, outputs)
                )
        except Exception:  # no answer at all shows as well
            return True
        for name, answer in found.items():
            right, scale = outputs.get(name, (None, None))
            if right is None or scale is None:
                continue  # a layer that is not there, or an output that the case does not determine
            if np.shape(answer) != right.shape:
                return True
            ratio = worst(np.asarray(answer, dtype=np.float64) - right, scale.astype(float), U)
            if not ratio < THRESHOLD:
                return True
    return False


def answers(
    stage: str,
    own: Pipeline,
    curvature: str,
    case: Case,
    vectors: Array,
    basis: Basis,
    outputs: Outputs,
) -> Iterator[tuple[str, Any]]:
    """What an implementation answers to a vector in one stage, by the names of its outputs.

    Args:
        stage: The stage.
        own: The implementation.
        curvature: What it inverts.
        case: The case.
        vectors: As for `killed`.
        basis: Likewise.
        outputs: Likewise.
    """
    factors = {n: (outputs[f"factors/{n}/A"][0], outputs[f"factors/{n}/S"][0]) for n in basis}
    if stage == "gradients":
        yield from ((f"gradients/{n}", g) for n, g in own.gradients(case).items())
    elif stage == "factors":
        for name, pair in own.factors(case, 0).items():
            yield from ((f"factors/{name}/{p}", F) for p, F in zip("AS", pair, strict=True))
    elif stage == "eigenbasis":
        for name, (w_A, _, w_S, _) in own.eigenbasis(factors).items():
            yield from ((f"spectrum/{name}/A", w_A), (f"spectrum/{name}/S", w_S))
    elif stage == "eigenvalues":
        found = own.eigenvalues(case, dict(basis), 0)
        yield from ((f"eigenvalues/{n}", lam) for n, lam in found.items())
    elif stage == "gauss_newton":
        yield "gauss_newton", own.gauss_newton(case, vectors)
    elif stage == "solve":
        lam = {n: outputs[f"eigenvalues/{n}"][0] for n in basis}
        state = State(case, factors, dict(basis), lam)
        yield f"solve/{curvature}", own.solve(state, vectors, case.damping)
    elif stage == "scores":
        yield f"scores/{curvature}", own.scores(case, 0)
