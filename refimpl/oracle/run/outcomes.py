"""Questions put to an implementation: a check in a mode, on a case."""

import importlib.util

from refimpl.oracle.checks import Check
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.stages import place
from refimpl.oracle.stages.numbers import one_line
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.session import Session
from refimpl.oracle.subject.trial import Trial

__all__ = ["Questions", "explanation", "in_order", "outcome_of", "outcomes_of"]

Questions = tuple[tuple[Check, Mode], ...]


def in_order(questions: Questions) -> list[tuple[Check, Mode]]:
    """Sort questions, so that each stage comes after those that it builds on.

    Args:
        questions: Pairs (check, mode).
    """
    return sorted(questions, key=lambda q: place(q[0].stage))


def outcomes_of(session: Session, case: Case, questions: Questions) -> tuple[Outcome, ...]:
    """Put all questions that apply to an implementation on one case.

    Args:
        session: Session with the implementation.
        case: Case in any conventions; the declared ones replace them.
        questions: Pairs (check, mode).
    """
    trial = Trial(session, case)
    outcomes = [outcome_of(trial, check, mode) for check, mode in in_order(questions)]
    return tuple(outcome for outcome in outcomes if outcome is not None)


def outcome_of(trial: Trial, check: Check, mode: Mode) -> Outcome | None:
    """Judge one check in one mode; None where it does not apply.

    Args:
        trial: The implementation on a case.
        check: Check, one of `CHECKS`.
        mode: One of its modes.
    """
    try:
        return judge_check(trial, check, mode) if check.applies(trial) else None
    except Exception as error:  # an answer so odd that the check itself broke: no reason to end
        detail = f"the check broke on this answer ({one_line(error)}): please report it"
        return Outcome(
            trial.case.id,
            check.stage,
            check.slug,
            check.family,
            mode,
            Verdict.ERROR,
            threshold=check.threshold,
            detail=detail,
            shows=check.shows,
        )


def explanation(trial: Trial, check: Check, mode: Mode) -> tuple[str, ...]:
    """Explain a fail: one sentence a hypothesis, likeliest first.

    Args:
        trial: The implementation on the case.
        check: The check that failed.
        mode: Mode in which it failed.
    """
    if importlib.util.find_spec("refimpl.oracle.diagnosis") is None:
        return ()
    from refimpl.oracle.diagnosis import diagnose

    try:
        return diagnose(trial, check, mode)
    except Exception as error:  # on an answer so odd that the search broke: the verdict stands
        return (f"the search for a cause broke ({one_line(error)}): please report it",)
