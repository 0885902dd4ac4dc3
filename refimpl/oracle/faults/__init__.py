"""Every fault, by bug type: mistakes that people make, each an edit of one method of the pipeline."""

from refimpl.oracle.faults import (
    bias,
    coverage,
    damping,
    decomposition,
    labels,
    layout,
    masking,
    normalisation,
    precision,
    randomness,
    sharing,
    sign_and_scale,
    state,
)
from refimpl.oracle.faults.fault import (
    BugType as BugType,
    Fault as Fault,
    edited as edited,
    faulty as faulty,
)

__all__ = ["FAULTS", "BugType", "Fault", "edited", "faulty"]

FAULTS: tuple[Fault, ...] = (
    *normalisation.FAULTS,
    *labels.FAULTS,
    *masking.FAULTS,
    *layout.FAULTS,
    *bias.FAULTS,
    *sharing.FAULTS,
    *damping.FAULTS,
    *decomposition.FAULTS,
    *sign_and_scale.FAULTS,
    *randomness.FAULTS,
    *precision.FAULTS,
    *state.FAULTS,
    *coverage.FAULTS,
)
