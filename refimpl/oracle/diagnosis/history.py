"""Diagnosis of answers that depend on earlier questions, or change at every call."""

from collections.abc import Sequence

from refimpl.oracle.diagnosis.question import Question
from refimpl.oracle.diagnosis.search import Finding, Hypothesis
from refimpl.oracle.faults import FAULTS, Fault, edited
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.near import is_near
from refimpl.oracle.subject.adapter import Adapter
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.session import Session
from refimpl.oracle.subject.trial import AnsweredQuestion, Trial

__all__ = ["faults_of_state"]


def faults_of_state(trial: Trial, stage: str) -> list[Finding]:
    """Faults of state whose answers to the same questions include the same first wrong answer.

    Two experiments come first, on the implementation itself: the same question under another name,
    which no earlier answer can have spoilt, and the same question twice.

    Args:
        trial: The implementation on a case, with the history of its questions.
        stage: The stage of the check that failed.
    """
    questions = [a for a in trial.history if a.stage in STAGES[stage].inherits]
    reference = InProcess(Pipeline(trial.declaration))
    known = trial.labels_known
    wrong = (
        i
        for i, a in enumerate(questions)
        if (known or not STAGES[a.stage].draws_labels)
        and not _near(trial, a, a.answer, _answer(reference, a))
    )
    first = next(wrong, None)
    if first is None:
        return []
    suspect = questions[first]
    right = _answer(reference, suspect)
    if STAGES[suspect.stage].of_factors:  # these calls do not carry the case's name
        explanations = _replayed(
            trial, questions[: first + 1], "state", "it is that of other factors"
        )
        return [f for f in explanations if f.hypothesis]
    if _near(trial, suspect, _answer(trial.session, suspect.renamed), right):
        seen = "asked under another name, the same question is answered rightly"
        return _replayed(trial, questions[: first + 1], "state", seen)
    twice = [_answer(trial.session, suspect) for _ in range(2)]
    if not _near(trial, suspect, *twice):
        return _replayed(trial, [suspect, suspect], "randomness", "asked twice, it has two answers")
    return []


def _replayed(
    trial: Trial, questions: Sequence[AnsweredQuestion], bug_type: str, seen: str
) -> list[Finding]:
    """The faults of a type with which a pipeline answers the last question alike."""
    last = questions[-1]
    findings: list[Finding] = []
    for fault in FAULTS:
        if fault.bug_type != bug_type or fault.stage not in STAGES[last.stage].inherits:
            continue
        answers = _replay(edited(Pipeline, fault)(trial.declaration), questions)
        if not answers:
            continue
        if bug_type == "state":
            fits = _near(trial, last, answers[-1], last.answer)
        else:
            fits = not _near(trial, last, *answers)
        if fits:
            findings.append(_finding(last, fault, seen))
    text = f"{last.stage}: the answer depends on what was asked before: {seen}"
    return findings or [Finding(text, None, 1)]


def _finding(last: AnsweredQuestion, fault: Fault, seen: str) -> Finding:
    text = f"{last.stage}: {fault.sentence}: {seen}, and so is it with that mistake"
    return Finding(text, Hypothesis((fault,)), 1)


def _replay(pipeline: Adapter, questions: Sequence[AnsweredQuestion]) -> list[object]:
    session = InProcess(pipeline)
    try:
        return [_answer(session, a) for a in questions]
    except Exception:  # the fault does not fit this case
        return []


def _answer(session: Session, question: AnsweredQuestion) -> object:
    arguments = question.arguments
    raw = session.call(question.stage, question.case, arguments)
    return STAGES[question.stage].read(raw, question.case, len(arguments.get("vectors", ())))


def _near(trial: Trial, question: AnsweredQuestion, one: object, other: object) -> bool:
    """Whether two answers to a question differ by roundings only, which some stages amplify.

    The error scale of the checks would cost ten truths for each case in the history, and faults of
    state change an answer by more than this tolerance.
    """
    share = trial.unit**0.5 if STAGES[question.stage].amplifies else 1e4 * trial.unit
    named = Question(trial, question.stage, "isolated").named
    a, b = named(one), named(other)
    return a.keys() == b.keys() and all(is_near(a[n], b[n], share) for n in a)
