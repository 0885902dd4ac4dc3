"""Diagnosis of fails that show only in repeated questions, other data or sampled labels."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.oracle.checks.check import Check
from refimpl.oracle.diagnosis.search import Finding, Hypothesis
from refimpl.oracle.faults import FAULTS, Fault, edited
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

__all__ = ["drawing_mistakes", "faults_with_same_ratio"]

SAME = 1e-3  # two ratios of one cause agree far closer, two of different causes hardly ever so


def faults_with_same_ratio(trial: Trial, check: Check, mode: Mode, seconds: float) -> list[Finding]:
    """Faults under which the check itself fails by the same ratio.

    Args:
        trial: The implementation on the case that failed.
        check: The check that failed.
        mode: The mode in which it failed.
        seconds: CPU time after which no further fault is tried.
    """
    deadline = time.process_time() + seconds
    ratio = float(check.measure(trial, mode))
    order = ("state", "randomness", "coverage")
    likely = sorted(FAULTS, key=lambda f: (f.stage != check.stage, f.bug_type not in order))
    findings: list[Finding] = []
    for fault in likely:
        if time.process_time() > deadline:
            break
        other = _ratio(fault, trial, check, mode)
        if other is not None and abs(other - ratio) <= SAME * abs(ratio):
            text = f"{check.stage}: {fault.sentence}: with that, this check fails by the same {ratio:.3e}"
            findings.append(Finding(text, Hypothesis((fault,)), 1))
    return findings


def _ratio(fault: Fault, trial: Trial, check: Check, mode: Mode) -> float | None:
    pipeline = edited(Pipeline, fault)(trial.declaration)
    try:
        return float(check.measure(Trial(InProcess(pipeline), trial.case), mode))
    except Exception:  # the fault does not fit this case
        return None


def drawing_mistakes(trial: Trial) -> Iterator[Finding]:
    """Mistakes in drawing labels, shown by S at several seeds and on copies of one example.

    Args:
        trial: An implementation that declares sampled labels, on a case.
    """

    def S(case: Case, seed: int) -> Array:
        factors = trial.on(case).factors(seed)
        return np.concatenate([s.ravel() for _, s in factors.values()])

    case, faults = trial.case, {f.slug: f for f in FAULTS}

    def finding(slug: str, seen: str) -> Finding:
        fault = faults[slug]
        return Finding(f"factors: {fault.sentence}: {seen}", Hypothesis((fault,)), 1)

    if np.array_equal(S(case, 0), S(case, 1)) and np.array_equal(S(case, 1), S(case, 2)):
        yield finding("seed-ignored", "three seeds give the same S")
        return
    B = case.batch_size
    copies = [[0] * n for n in (1, B, 3 * B)]
    data = [case.but(inputs=case.inputs[i].copy(), labels=case.labels[i].copy()) for i in copies]
    single, batch, three = ([S(c, seed) for seed in range(4)] for c in data)
    if B > 1 and _equal(single, batch):
        yield finding("one-draw-for-the-batch", "copies of one example give the S of one copy")
    elif B > 1 and _equal(batch, three):
        seen = "three batches of copies give the S of one batch, at every seed"
        yield finding("generator-restarts-per-batch", seen)


def _equal(first: list[Any], second: list[Any]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)
