"""The stages of an implementation, in the order in which each uses the ones before.

A stage is one file, which says everything that is particular to it, and its line in `STAGES`.
"""

from refimpl.oracle.stages.eigenbasis import EIGENBASIS
from refimpl.oracle.stages.eigenvalues import EIGENVALUES
from refimpl.oracle.stages.factors import FACTORS
from refimpl.oracle.stages.gauss_newton import GAUSS_NEWTON
from refimpl.oracle.stages.gradients import GRADIENTS
from refimpl.oracle.stages.response import RESPONSE
from refimpl.oracle.stages.scores import SCORES
from refimpl.oracle.stages.solve import SOLVE
from refimpl.oracle.stages.stage import Stage

__all__ = ["STAGES", "Stage", "place"]

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        GRADIENTS,
        FACTORS,
        EIGENBASIS,
        EIGENVALUES,
        GAUSS_NEWTON,
        SOLVE,
        SCORES,
        RESPONSE,
    )
}


def place(stage: str) -> int:
    """The position of a stage in the order; the stages that it uses stand before it."""
    return list(STAGES).index(stage)
