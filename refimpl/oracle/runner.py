"""Every check on every case, in this process or in several, as a Report."""

import importlib.util
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import torch

import refimpl
from refimpl.oracle.adapter import STAGES
from refimpl.oracle.case import Case
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.deviations import Deviation, declared
from refimpl.oracle.judge import judge
from refimpl.oracle.outcomes import Report, Selection
from refimpl.oracle.trial import Mode, Session, Trial
from refimpl.oracle.verdicts import Outcome, Verdict

__all__ = ["Progress", "ask", "explanation", "run"]

# (questions answered so far, of how many, the outcomes that are new)
Progress = Callable[[int, int, Sequence[Outcome]], None]
DIAGNOSED = 2  # fails of a stage that are explained: an explanation takes many recomputations


@dataclass(frozen=True)
class _Asked:
    """What became of one case: outcomes, and how many questions did not apply."""

    outcomes: tuple[Outcome, ...]
    inapplicable: int


def run(
    session: Session,
    cases: Mapping[str, Case],
    checks: Sequence[Check] = CHECKS,
    *,
    deviations: Sequence[Deviation] = (),
    diagnose: bool = True,
    progress: Progress | None = None,
    executor: Executor | None = None,
    selection: Selection = "part",
) -> Report:
    """Judge an implementation.

    Args:
        session: Where its answers come from.
        cases: What it is asked about.
        checks: What is checked.
        deviations: What it declares to do otherwise.
        diagnose: Whether to look for what would explain its fails.
        progress: Told as cases are done.
        executor: Where cases are run, each as one task; default: here, one after the other. The
            session is pickled to it, and checks travel by their slug.
        selection: What the cases and checks are, for the report.
    """
    started = time.perf_counter()
    described = session.described
    asked = [c for c in checks if c.stage in described.stages]
    each = sum(len(c.modes) for c in checks)
    absent = each - sum(len(c.modes) for c in asked)
    todo = [
        (_judged, case, tuple((c, m) for c in asked for m in c.modes)) for case in cases.values()
    ]
    found: dict[str, _Asked] = {}
    for case, answer in _each(session, todo, executor):
        found[case.id] = answer
        if progress is not None:
            progress(len(found) * each, len(cases) * each, answer.outcomes)
    outcomes = [o for name in cases for o in found[name].outcomes]
    if diagnose:
        outcomes = _explained(session, cases, checks, outcomes, executor)
    provenance = {
        "refimpl": refimpl.__version__, "python": platform.python_version(),
        "torch": torch.__version__, "numpy": np.__version__, "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    return Report(
        subject=getattr(session, "subject", described.declaration.name),
        declaration=described.declaration,
        stages=described.stages,
        outcomes=tuple(declared(o, deviations) for o in outcomes),
        selection=selection,
        planned=each * len(cases),
        absent=absent * len(cases),
        inapplicable=sum(a.inapplicable for a in found.values()),
        provenance=provenance,
        notices=_notices(deviations, outcomes),
    )


Questions = tuple[tuple[Check, Mode], ...]
Work = Callable[[Session, Case, Questions], Any]


def _each(
    session: Session, todo: Sequence[tuple[Work, Case, Questions]], executor: Executor | None
) -> Iterable[tuple[Case, Any]]:
    """Results as they come."""
    if executor is None:
        for work, case, questions in todo:
            yield case, work(session, case, questions)
        return
    futures: dict[Future[Any], Case] = {}
    for work, case, questions in todo:
        slugs = tuple((check.slug, mode) for check, mode in questions)
        # `but` leaves behind what the case has cached.
        futures[executor.submit(_elsewhere, work, session, case.but(), slugs)] = case
    for future in as_completed(futures):
        yield futures[future], future.result()


def _elsewhere(
    work: Work, session: Session, case: Case, slugs: tuple[tuple[str, Mode], ...]
) -> Any:
    known = {check.slug: check for check in CHECKS}
    # `but` again, so that the arrays are read-only here, too.
    return work(session, case.but(), tuple((known[slug], mode) for slug, mode in slugs))


def _judged(session: Session, case: Case, questions: Questions) -> _Asked:
    trial = Trial(session, case)
    outcomes: list[Outcome] = []
    for check, mode in sorted(questions, key=lambda q: STAGES.index(q[0].stage)):
        outcome = ask(trial, check, mode)
        if outcome is not None:
            outcomes.append(outcome)
    return _Asked(tuple(outcomes), len(questions) - len(outcomes))


def ask(trial: Trial, check: Check, mode: Mode) -> Outcome | None:
    """The outcome of a check; None where it does not apply.

    Args:
        trial: The implementation on a case.
        check: The check.
        mode: One of its modes.
    """
    try:
        return judge(trial, check, mode) if check.applies(trial) else None
    except Exception as error:  # an answer so odd that the check itself broke: no reason to end
        detail = (
            f"the check broke on this answer ({type(error).__name__}: {error}): please report it"
        )
        return Outcome(
            trial.case.id, check.stage, check.slug, check.family, mode, Verdict.ERROR,
            threshold=check.threshold, detail=detail,
        )  # fmt: skip


def _explained(
    session: Session,
    cases: Mapping[str, Case],
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    executor: Executor | None,
) -> list[Outcome]:
    """The outcomes, those that tell most with a diagnosis: isolated before chained, small before large."""
    known = {check.slug: check for check in checks}
    picked: list[Outcome] = []
    for stage in STAGES:
        fails = [o for o in outcomes if o.stage == stage and o.verdict is Verdict.FAIL]
        fails.sort(key=lambda o: (o.mode != "isolated", cases[o.case].num_parameters))
        picked += list({o.case: o for o in reversed(fails)}.values())[::-1][:DIAGNOSED]
    by_case = {name: [o for o in picked if o.case == name] for name in {o.case for o in picked}}
    todo: list[tuple[Work, Case, Questions]] = [
        (_diagnosed, cases[name], tuple((known[o.check], o.mode) for o in own))  # type: ignore[misc]
        for name, own in by_case.items()
    ]
    said: dict[str, tuple[str, ...]] = {}
    for _, answer in _each(session, todo, executor):
        said |= answer
    return [replace(o, diagnosis=said[o.id]) if o.id in said else o for o in outcomes]


def _diagnosed(session: Session, case: Case, questions: Questions) -> dict[str, tuple[str, ...]]:
    trial = Trial(session, case)
    return {
        f"{case.id}::{check.stage}::{check.slug}::{mode}": explanation(trial, check, mode)
        for check, mode in questions
    }


def explanation(trial: Trial, check: Check, mode: Mode) -> tuple[str, ...]:
    """What would explain a fail, likeliest first.

    Args:
        trial: The implementation on the case.
        check: The check that failed.
        mode: In which mode.
    """
    if importlib.util.find_spec("refimpl.oracle.diagnosis") is None:
        return ()
    from refimpl.oracle.diagnosis import diagnose

    return diagnose(trial, check, mode)


def _notices(deviations: Sequence[Deviation], outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    today = date.today()
    expired = [d for d in deviations if d.expires < today]
    idle = [d for d in deviations if not any(d.covers(o.id) for o in outcomes)]
    return (
        *(f"deviation {d.id!r} expired on {d.expires}: {d.reason}" for d in expired),
        *(f"deviation {d.id!r} is about no outcome of this run" for d in idle),
    )
