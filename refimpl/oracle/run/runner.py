"""Every check on every case, in this process or in several, as a Report."""

import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from queue import SimpleQueue
from typing import Any, cast

import numpy as np
import torch

import refimpl
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.deviations import Deviation, declared
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import DRAWN, Report, Selection
from refimpl.oracle.run.outcomes import Questions, explanation, outcomes_of
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.session import Session
from refimpl.oracle.subject.trial import Trial

__all__ = ["Progress", "run_checks"]

# (questions answered so far, of how many, the outcomes that are new)
Progress = Callable[[int, int, Sequence[Outcome]], None]
DIAGNOSED = 2  # fails of a stage that are explained: an explanation takes many recomputations


@dataclass(frozen=True)
class _Answer:
    """The outcomes on one case, and the number of questions that did not apply."""

    outcomes: tuple[Outcome, ...]
    inapplicable: int


def run_checks(
    session: Session,
    cases: Mapping[str, Case],
    checks: Sequence[Check] = CHECKS,
    *,
    deviations: Sequence[Deviation] = (),
    diagnose: bool = True,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int = 0,
    selection: Selection = "part",
    draws: int = 0,
) -> Report:
    """Judge an implementation by every check on every case.

    Args:
        session: Session with the implementation.
        cases: Cases by id.
        checks: Checks to run; default: all.
        deviations: Entries of deviations.toml.
        diagnose: Whether to explain its fails.
        progress: Called after every case; see `Progress`.
        executor: Runs each case as one task; default: this process, one case after the other. The
            session is pickled to it, and checks travel by their slug.
        workers: Number of tasks the executor gets at once, as this process runs cases besides: its
            implementation is running already, and a process more would import torch twice more.
            0: all at once, and this process runs none.
        selection: Which part of all cases and checks these are, for the report.
        draws: Number of cases that hypothesis draws besides, for checks against the reference.
    """
    started = time.perf_counter()
    described = session.described
    questions: Questions = tuple((c, m) for c in checks for m in c.modes)
    claimed: Questions = tuple((c, m) for c, m in questions if c.stage in described.stages)
    tasks = [_Task(_judged, name, case, claimed) for name, case in cases.items()]
    planned = len(cases) * len(questions)
    absent = len(cases) * (len(questions) - len(claimed))
    if draws:
        on_drawn: Questions = tuple((c, m) for c, m in questions if c.family == "stages")
        claimed_on_drawn: Questions = tuple(
            (c, m) for c, m in on_drawn if c.stage in described.stages
        )
        tasks.insert(0, _Task(_differential, DRAWN, draws, claimed_on_drawn))  # the longest: first
        planned, absent = planned + len(on_drawn), absent + len(on_drawn) - len(claimed_on_drawn)
    answers: dict[str, _Answer] = {}
    for task, answer in _each(session, tasks, executor, workers):
        answers[task.name] = answer
        if progress is not None:
            done = sum(len(a.outcomes) + a.inapplicable for a in answers.values())
            progress(done, planned - absent, answer.outcomes)
    outcomes = [o for name in (*cases, DRAWN) if name in answers for o in answers[name].outcomes]
    if diagnose:
        outcomes = _explained(session, cases, checks, outcomes, executor, workers)
    provenance = {
        "refimpl": refimpl.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
    }
    return Report(
        subject=getattr(session, "subject", described.declaration.name),
        declaration=described.declaration,
        stages=described.stages,
        outcomes=tuple(declared(o, deviations) for o in outcomes),
        selection=selection,
        planned=planned,
        absent=absent,
        inapplicable=sum(a.inapplicable for a in answers.values()),
        provenance=provenance,
        notices=_notices(deviations, outcomes),
        asked=tuple(s for s in described.stages if any(c.stage == s and c.shows for c in checks)),
    )


@dataclass(frozen=True)
class _Task:
    """A unit of work for an executor: a function of this module and its arguments."""

    work: Callable[[Session, Any, Questions], Any]
    name: str
    about: Case | int
    questions: Questions


def _each(
    session: Session, tasks: Sequence[_Task], executor: Executor | None, workers: int
) -> Iterable[tuple[_Task, Any]]:
    """Yield results as they come; beside an executor's workers this process works from the other end."""
    if executor is None:
        for task in tasks:
            yield task, task.work(session, task.about, task.questions)
        return
    left, ended = deque(tasks), SimpleQueue[Future[Any]]()
    futures: dict[Future[Any], _Task] = {}

    def hand_out(_: Future[Any] | None = None) -> None:
        if (task := _next_task(left.popleft)) is None:
            return
        slugs: tuple[tuple[str, Mode], ...] = tuple((c.slug, mode) for c, mode in task.questions)
        future = executor.submit(_elsewhere, task.work, session, _bare(task.about), slugs)
        futures[future] = task
        future.add_done_callback(ended.put)
        future.add_done_callback(hand_out)

    for _ in range(workers or len(tasks)):
        hand_out()
    missing = len(tasks)
    while missing:
        local = _next_task(left.pop) if workers else None
        if local is not None:
            yield local, local.work(session, local.about, local.questions)
            missing -= 1
        while missing and (local is None or not ended.empty()):
            future = ended.get()
            yield futures[future], future.result()
            missing -= 1


def _next_task(pop: Callable[[], _Task]) -> _Task | None:
    """Pop a task from an end of the queue; None where it is empty, which callbacks may make it."""
    try:
        return pop()
    except IndexError:
        return None


def _elsewhere(
    work: Callable[[Session, Any, Questions], Any],
    session: Session,
    about: Case | int,
    slugs: tuple[tuple[str, Mode], ...],
) -> Any:
    known = {check.slug: check for check in CHECKS}
    return work(session, _bare(about), tuple((known[slug], mode) for slug, mode in slugs))


def _bare(about: Case | int) -> Case | int:
    """Copy a case without its caches; its arrays are read-only again after pickling."""
    return about.but() if isinstance(about, Case) else about


def _judged(session: Session, case: Case, questions: Questions) -> _Answer:
    outcomes = outcomes_of(session, case, questions)
    return _Answer(outcomes, len(questions) - len(outcomes))


def _differential(session: Session, draws: int, questions: Questions) -> _Answer:
    from refimpl.oracle.run.drawing import (
        differential,  # hypothesis is imported only where it is needed
    )

    outcomes = differential(session, draws, questions)
    return _Answer(outcomes, len(questions) - len(outcomes))


def _explained(
    session: Session,
    cases: Mapping[str, Case],
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    executor: Executor | None,
    workers: int,
) -> list[Outcome]:
    """Diagnose the most telling fails of each stage: isolated before chained, small cases first."""
    known = {check.slug: check for check in checks}
    picked: list[Outcome] = []
    for stage in STAGES:
        fails = [o for o in outcomes if o.stage == stage and o.verdict is Verdict.FAIL]
        fails = [o for o in fails if o.case in cases]
        fails.sort(key=lambda o: (o.mode != "isolated", cases[o.case].num_parameters))
        picked += list({o.case: o for o in reversed(fails)}.values())[::-1][:DIAGNOSED]
    tasks = [
        _Task(
            _diagnosed, name, cases[name], tuple((known[o.check], _mode(o)) for o in fails_of_case)
        )
        for name in cases
        if (fails_of_case := [o for o in picked if o.case == name])
    ]
    diagnoses: dict[str, tuple[str, ...]] = {}
    for _, answer in _each(session, tasks, executor, workers):
        diagnoses |= answer
    return [replace(o, diagnosis=diagnoses[o.id]) if o.id in diagnoses else o for o in outcomes]


def _mode(outcome: Outcome) -> Mode:
    return cast("Mode", outcome.mode)


def _diagnosed(session: Session, case: Case, questions: Questions) -> dict[str, tuple[str, ...]]:
    trial = Trial(session, case)
    return {
        f"{case.id}::{check.stage}::{check.slug}::{mode}": explanation(trial, check, mode)
        for check, mode in questions
    }


def _notices(deviations: Sequence[Deviation], outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    today = date.today()
    expired = [d for d in deviations if d.expires < today]
    idle = [d for d in deviations if not any(d.covers(o.id) for o in outcomes)]
    return (
        *(f"deviation {d.id!r} expired on {d.expires}: {d.reason}" for d in expired),
        *(f"deviation {d.id!r} is about no outcome of this run" for d in idle),
    )
