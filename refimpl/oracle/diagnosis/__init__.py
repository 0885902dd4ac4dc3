"""Diagnosis: explanations of a fail as sentences, likeliest first."""

from refimpl.oracle.checks.check import Check
from refimpl.oracle.diagnosis.behaviour import drawing_mistakes, faults_with_same_ratio
from refimpl.oracle.diagnosis.history import faults_of_state
from refimpl.oracle.diagnosis.question import Question
from refimpl.oracle.diagnosis.search import Finding, compare_answers, search_findings
from refimpl.oracle.diagnosis.structure import observations
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.truth import Undecided

__all__ = ["SHOWN", "Finding", "diagnose", "findings"]

SECONDS = 3.0  # for pairs, and twice that for single hypotheses
SHOWN = 4  # sentences for each fail
NO_ANSWER = (Unsupported, BadAnswer, Failed, Undecided)


def diagnose(trial: Trial, check: Check, mode: Mode) -> tuple[str, ...]:
    """Sentences that explain a fail: what reproduces the answer to rounding, else patterns in it.

    Args:
        trial: The implementation on the case that failed.
        check: The check that failed.
        mode: The mode in which it failed.
    """
    return tuple(f.text for f in findings(trial, check, mode)[:SHOWN])


def findings(trial: Trial, check: Check, mode: Mode, seconds: float = SECONDS) -> list[Finding]:
    """Explanations of a fail with their hypotheses, from the most upstream stage that is wrong.

    Args:
        trial: The implementation on the case that failed.
        check: The check that failed.
        mode: The mode in which it failed.
        seconds: CPU time for pairs of hypotheses.
    """
    try:
        of_state = faults_of_state(trial, check.stage)
        if any(f.hypothesis for f in of_state):
            return of_state
        stage, suspects = _upstream(trial, check.stage)
        question = Question(trial, stage, mode)
        if trial.labels_known or not STAGES[stage].draws_labels:
            explanations = search_findings(question, suspects, seconds)
            others = tuple(s for s in STAGES[stage].inherits if s not in suspects)
            # Not every author's scores call what the other stages do.
            if not explanations and others:
                explanations = search_findings(question, others, seconds)
            if not explanations:
                explanations = [Finding(text) for text in observations(question)]
        else:
            explanations = _drawn(question, seconds)
        return of_state + explanations or faults_with_same_ratio(trial, check, mode, 2 * seconds)
    except NO_ANSWER as error:
        return [Finding(f"no answer to look at: {error}")]


def _drawn(question: Question, seconds: float) -> list[Finding]:
    """Sampled labels: A is known; S may be that of labels that are not drawn at all."""
    if question.definition.known_in_part:
        explanations = [
            f
            for f in search_findings(question, question.definition.inherits, seconds)
            if f.hypothesis
        ]
        return explanations or list(drawing_mistakes(question.trial))
    return []


def _upstream(trial: Trial, stage: str) -> tuple[str, tuple[str, ...]]:
    """The earliest wrong stage among those that feed a stage, and the stages whose faults to try."""
    inherits = STAGES[stage].inherits
    inherited = [s for s in STAGES if s in inherits and s != stage and trial.has(s)]
    right: list[str] = []
    for earlier in inherited:
        question = Question(trial, earlier, "isolated")
        if not trial.labels_known and STAGES[earlier].draws_labels:
            continue
        try:
            match = compare_answers(question, question.right)
        except NO_ANSWER:
            continue
        if (
            match is None
            or len(match.factors) < len(question.answer)
            or {*match.factors.values()} != {1.0}
        ):
            return earlier, tuple(s for s in STAGES[earlier].inherits if s not in right)
        right.append(earlier)
    return stage, tuple(s for s in inherits if s not in right)
