"""How far each stage's answers are from the reference: numbers to be read; checks judge."""

from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages import STAGES, Stage
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.truth import Undecided

__all__ = ["relative_errors"]


def _relative(answer: Array, right: Array) -> float:
    """||answer - right||_F / ||right||_F; 0/0 is 0."""
    norm, off = float(np.linalg.norm(right)), float(np.linalg.norm(answer - right))
    return off / norm if norm else (float("inf") if off else 0.0)


def _distance(trial: Trial, stage: Stage) -> float:
    """The largest relative error among the arrays that an answer stands for."""
    given = {"vectors": _vectors(trial)} if "vectors" in stage.signature else {}
    arguments = stage.arguments(trial, **given)
    right = stage.right(trial.truth, arguments)
    pairs = stage.pairs(arguments, trial.ask(stage.name, **given), right)
    return max(_relative(array, other) for array, other in pairs)


def _vectors(trial: Trial) -> Array:
    P = sum(rows * columns for rows, columns in trial.truth.shapes().values())
    return np.random.default_rng(0).standard_normal((3, P))


def relative_errors(trial: Trial) -> dict[str, Any]:
    """The relative error of every stage fed with the reference's answers; of scores, end to end.

    Args:
        trial: The implementation on a case; labels that are drawn are left out.

    Returns:
        By stage: a number, or why there is none.
    """
    if trial.conventions.fisher == "sampled":
        return {}
    errors: dict[str, Any] = {}
    for name, stage in STAGES.items():
        # A response's error is not relative to its parameters, and no peer has any.
        if not trial.has(name) or stage.gives_parameters:
            continue
        try:
            off = _distance(trial, stage)
            errors[name] = off if np.isfinite(off) else str(off)
        except (Unsupported, Undecided, Failed, BadAnswer) as error:
            errors[name] = f"{type(error).__name__}: {error}"
    return errors
