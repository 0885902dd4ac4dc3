"""Differential testing on cases that hypothesis draws; a wrong answer comes with a small case."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis.errors import HypothesisException

from refimpl.oracle import cases
from refimpl.oracle.checks import Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import DRAWN
from refimpl.oracle.run.outcomes import Questions, in_order, outcome_of, outcomes_of
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.session import Session
from refimpl.oracle.subject.trial import Trial

__all__ = ["differential", "drawn_cases", "smallest"]

ATTEMPTS = 60  # cases that are tried to find a smaller one

_FIXED = settings(
    database=None,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
# `find` is given its own generator instead.
_SHRUNK = settings(_FIXED, derandomize=False, phases=(Phase.generate, Phase.shrink))


def differential(session: Session, draws: int, questions: Questions) -> tuple[Outcome, ...]:
    """Put every question to the drawn cases; its outcome is the worst over all of them.

    Args:
        session: Session with the implementation.
        draws: Number of cases to draw.
        questions: Pairs (check, mode).
    """
    by_question: dict[tuple[str, str], list[Outcome]] = {(c.slug, m): [] for c, m in questions}
    drawn_by_id: dict[str, Case] = {}
    for case in drawn_cases(draws):
        drawn_by_id[case.id] = case
        for outcome in outcomes_of(session, case, questions):
            by_question[outcome.check, outcome.mode].append(outcome)
    outcomes: list[Outcome] = []
    shrunk: set[str] = set()
    for check, mode in in_order(questions):
        outcome = worst(by_question[check.slug, mode])
        if outcome is None:
            continue
        if outcome.verdict is Verdict.FAIL and check.stage not in shrunk:
            shrunk.add(check.stage)  # one small case a stage says enough, and takes a while

            def wrong(case: Case, check: Check = check, mode: Mode = mode) -> bool:
                return _verdict(session, case, check, mode) is Verdict.FAIL

            first = next(o for o in by_question[check.slug, mode] if o.verdict is Verdict.FAIL)
            small = described(smallest(drawn_by_id[first.case], wrong))
            detail = f"{outcome.detail} The smallest case found: {small}."
            outcome = replace(outcome, detail=detail)
        outcomes.append(outcome)
    return tuple(outcomes)


def _verdict(session: Session, case: Case, check: Check, mode: Mode) -> Verdict | None:
    outcome = outcome_of(Trial(session, case), check, mode)
    return outcome.verdict if outcome is not None else None


def drawn_cases(count: int) -> list[Case]:
    """Draw cases with hypothesis; every call gives the same ones.

    Args:
        count: Number of cases.
    """
    drawn: list[Case] = []

    # A seed, since hypothesis's own is a hash of this function's text and place.
    @seed(0)
    @settings(_FIXED, max_examples=count)
    @given(cases.drawn())
    def collect(case: Case) -> None:
        drawn.append(case.but(id=f"{DRAWN}/{len(drawn)}"))

    collect()
    return drawn


def worst(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The worst outcome over all drawn cases; None where the check applies to none of them.

    Args:
        outcomes: Outcomes of one check in one mode.
    """
    order = (Verdict.ERROR, Verdict.FAIL, Verdict.PASS, Verdict.INDETERMINATE, Verdict.UNSUPPORTED)
    for verdict in order:
        same_verdict = [o for o in outcomes if o.verdict is verdict]
        if same_verdict:
            chosen = max(same_verdict, key=lambda o: -1.0 if o.ratio is None else o.ratio)
            seconds = sum(o.seconds for o in outcomes)
            return replace(chosen, case=DRAWN, family="differential", seconds=seconds)
    return None


def smallest(case: Case, wrong: Callable[[Case], bool]) -> Case:
    """Shrink a case on which an answer is wrong, with hypothesis, in at most ATTEMPTS tries.

    Args:
        case: A case on which the answer is wrong.
        wrong: Tells whether the answer is wrong on a case.

    Returns:
        The smallest such case that was tried, by P and then by N.
    """
    seen = [case]
    left = ATTEMPTS

    def still_wrong(other: Case) -> bool:
        nonlocal left
        left -= 1
        if left < 0 or not wrong(other):
            return False
        seen.append(other)
        return True

    # Once the attempts are spent, hypothesis finds its own example right and calls that flaky: what
    # was seen until then counts.
    with suppress(HypothesisException):
        find(
            cases.drawn(),
            still_wrong,
            settings=settings(_SHRUNK, max_examples=ATTEMPTS),
            random=random.Random(0),
        )
    return min(seen, key=lambda c: (c.num_parameters, c.num_examples))


def described(case: Case) -> str:
    """Describe a drawn case in a sentence."""
    blocks = ", ".join(f"{b.name} {b.outputs}x{b.inputs}" for b in case.blocks)
    ops = " > ".join(str(layer["op"]) for layer in case.layers)
    shape = "x".join(map(str, case.inputs.shape[1:]))
    return (
        f"{case.num_examples} examples of shape {shape}, {ops}, layers {blocks}, {case.loss.kind}, "
        f"damping {case.damping:g}"
    )
