"""The planted faults that a vector reveals, measured: its worth as a test."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refimpl.oracle.checks.check import worst
from refimpl.oracle.faults import FAULTS, Fault, faulty
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.stages import STAGES, place
from refimpl.oracle.stages.setting import Setting, State
from refimpl.oracle.truth.kronecker import Basis
from refimpl.oracle.truth.scales import THRESHOLD

__all__ = ["answers", "killed_faults"]

U = ROUNDOFF["float64"]
# Output name -> (what is right, its scale), as the generator has them.
Outputs = Mapping[str, tuple[Array, Array]]


def killed_faults(case: Case, vectors: Array, basis: Basis, outputs: Outputs) -> dict[str, Any]:
    """Measure which faults make some answer fail, of those that keep conventions, for `checks_made`.

    Args:
        case: The case.
        vectors: Vectors to multiply and solve [k, P].
        basis: Eigenbasis that later stages receive.
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
    for stage in list(STAGES)[place(fault.stage) :]:
        try:
            with np.errstate(all="ignore"):
                by_output = dict(
                    answers(stage, faulty(fault), fault.curvature, case, vectors, basis, outputs)
                )
        except Exception:  # no answer at all shows as well
            return True
        for name, answer in by_output.items():
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
    pipeline: Pipeline,
    curvature: str,
    case: Case,
    vectors: Array,
    basis: Basis,
    outputs: Outputs,
) -> Iterator[tuple[str, Any]]:
    """Yield an implementation's answers to a vector in one stage, by the names of its outputs.

    Args:
        stage: Name of the stage.
        pipeline: Implementation to ask.
        curvature: Matrix that it inverts: "ekfac", "kfac" or "gauss_newton".
        case: The case.
        vectors: As for `killed_faults`.
        basis: Likewise.
        outputs: Likewise.
    """
    definition = STAGES[stage]
    if not definition.checks:  # a vector has no answer of this stage
        return
    factors = {n: (outputs[f"factors/{n}/A"][0], outputs[f"factors/{n}/S"][0]) for n in basis}
    lam = {n: outputs[f"eigenvalues/{n}"][0] for n in basis}
    available: dict[str, Any] = {
        "factors": factors,
        "basis": dict(basis),
        "state": State(case, factors, dict(basis), lam),
        "vectors": vectors,
    }
    arguments = definition.arguments(Setting(case, curvature), **available)
    yield from definition.recorded(definition.call(pipeline, case, arguments), curvature).items()
