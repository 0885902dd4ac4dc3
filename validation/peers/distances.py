"""How far each stage's answers are from the reference: numbers to be read; checks judge."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.trial import Trial
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.answers import BadAnswer
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.truth.truth import Undecided

__all__ = ["relative_errors"]


def _relative(answer: Array, right: Array) -> float:
    """||found - right||_F / ||right||_F; 0/0 is 0."""
    norm, off = float(np.linalg.norm(right)), float(np.linalg.norm(answer - right))
    return off / norm if norm else (float("inf") if off else 0.0)


def _largest(answers: dict[str, Array], right: dict[str, Array]) -> float:
    return max(_relative(answers[name], right[name]) for name in right)


def _factors(trial: Trial) -> float:
    """Of the product S (x) A, the only thing that they stand for."""
    factors, right = trial.factors(), trial.truth.factors
    return max(
        _relative(np.kron(S, A), np.kron(right[n][1], right[n][0])) for n, (A, S) in factors.items()
    )


def _eigenbasis(trial: Trial) -> float:
    """Of Q diag(w) Q^T."""
    factors = trial.truth.factors
    return max(
        _relative((Q * w) @ Q.T, M)
        for n, (w_A, Q_A, w_S, Q_S) in trial.eigenbasis("isolated").items()
        for w, Q, M in ((w_A, Q_A, factors[n][0]), (w_S, Q_S, factors[n][1]))
    )


def _vectors(trial: Trial) -> Array:
    P = sum(rows * columns for rows, columns in trial.truth.shapes().values())
    return np.random.default_rng(0).standard_normal((3, P))


MEASURES: dict[str, Callable[[Trial], float]] = {
    "gradients": lambda t: _largest(t.gradients(), t.truth.gradients),
    "factors": _factors,
    "eigenbasis": _eigenbasis,
    "eigenvalues": lambda t: _largest(
        t.eigenvalues("isolated"), t.truth.eigenvalues_in(t.truth.basis)
    ),
    "gauss_newton": lambda t: _relative(t.gauss_newton(_vectors(t)), _vectors(t) @ t.truth.matrix),
    "solve": lambda t: _relative(t.solve("isolated", _vectors(t)), t.truth.solve(_vectors(t))),
    "scores": lambda t: _relative(t.scores(), t.truth.scores),
}


def relative_errors(trial: Trial) -> dict[str, Any]:
    """The relative error of every stage fed with the reference's answers; of scores, end to end.

    Args:
        trial: The implementation on a case; labels that are drawn are left out.

    Returns:
        By stage: a number, or why there is none.
    """
    if trial.conventions.fisher == "sampled":
        return {}
    found: dict[str, Any] = {}
    for stage, measure in MEASURES.items():
        if not trial.has(stage):
            continue
        try:
            off = measure(trial)
            found[stage] = off if np.isfinite(off) else str(off)
        except (Unsupported, Undecided, Failed, BadAnswer) as error:
            found[stage] = f"{type(error).__name__}: {error}"
    return found
