"""Check: a claim about a stage, its equation, and the error that it tolerates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.scales import THRESHOLD

__all__ = ["Check", "Family", "labels_known", "relative", "worst"]

Family = Literal["stages", "metamorphic", "statistical", "outcomes"]


@dataclass(frozen=True)
class Check:
    """One claim.

    Args:
        slug: Its name, never reused.
        family: The kind of check.
        stage: The stage that it judges; implementations without that stage skip it.
        statement: The claim as a sentence.
        equation: The claim as a formula.
        source: Publication and equation of the claim.
        scale: By what an error is divided besides u, and where that comes from, in a sentence.
        measure: The ratio of error to u x scale, of a trial in a mode; raises `Undecided` where the
            case cannot decide.
        applies: Whether the check makes sense for a trial; default: always.
        modes: "isolated", "chained" or both; stages without inputs have one.
        threshold: The ratio passes below it.
        shows: Whether a pass shows the answer to be right: it is compared with the right one, with the
            law of its labels, or with what the implementation's own parts make it. A property that
            zeros have too (linear, symmetric, the same again) shows nothing.
    """

    slug: str
    family: Family
    stage: str
    statement: str
    equation: str
    source: str
    scale: str
    measure: Callable[[Trial, Mode], float]
    applies: Callable[[Trial], bool] = lambda trial: True
    modes: tuple[Mode, ...] = ("isolated",)
    threshold: float = THRESHOLD
    shows: bool = False


def worst(error: Array, scale: Array, unit: float) -> float:
    """Max |error| / (u scale), 0/0 being 0; NaN stays NaN.

    Args:
        error: Any shape.
        scale: Same shape; an error where it is 0 gives infinity.
        unit: Unit roundoff u of the declared dtype.
    """
    error = np.abs(error)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / (unit * scale))
    return float(ratio.max()) if ratio.size else 0.0


def relative(error: Array, size: Any, unit: float) -> float:
    """Max over rows of ||error||_2 / (u size), 0/0 being 0; NaN stays NaN.

    Args:
        error: Rows [k, n], or one vector [n].
        size: A number for each row [k], or one for all.
        unit: Unit roundoff u of the declared dtype.
    """
    norms = np.linalg.norm(np.atleast_2d(error).astype(np.float64), axis=-1)
    return worst(norms, np.broadcast_to(size, norms.shape), unit)


def labels_known(trial: Trial) -> bool:
    """Whether the case alone fixes the pseudo-gradients: it does unless labels are sampled."""
    return trial.labels_known
