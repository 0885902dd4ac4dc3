"""Cases side by side: the executor's tasks and this process's own add up to the whole report."""

import threading
import time
from concurrent.futures import Executor, Future
from dataclasses import replace

from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.outcomes import Report
from refimpl.oracle.reference import Reference
from refimpl.oracle.runner import run
from refimpl.oracle.session import InProcess
from refimpl.oracle.verdicts import Outcome

CASES = dict(list(quick().items())[:4])
GRADIENTS = [c for c in CHECKS if c.stage == "gradients"]


class EverySecond(Executor):
    """Runs every second task at once, and never comes to the others."""

    def __init__(self) -> None:
        self.futures: list[Future] = []

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        if len(self.futures) % 2 == 0:
            future.set_running_or_notify_cancel()
            future.set_result(fn(*args, **kwargs))
        self.futures.append(future)
        return future


def test_this_process_does_what_the_executor_has_not_begun() -> None:
    session, told = InProcess(Reference()), []
    alone = run(session, CASES, GRADIENTS)
    pool = EverySecond()
    shared = run(
        session,
        CASES,
        GRADIENTS,
        executor=pool,
        shared=True,
        progress=lambda done, total, _: told.append((done, total)),
    )
    assert _untimed(shared) == _untimed(alone)
    assert [f.cancelled() for f in pool.futures] == [False, True] * 2
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1][0] == told[-1][1] == len(shared.outcomes) + shared.inapplicable


class Later(Executor):
    """A thread a task, which begins it when everything has been handed out."""

    def __init__(self, tasks: int) -> None:
        self.futures: list[Future] = []
        self.handed_out = threading.Barrier(tasks)

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()

        def work() -> None:
            self.handed_out.wait()
            time.sleep(0.2)  # who takes tasks away has the time to
            if future.set_running_or_notify_cancel():
                future.set_result(fn(*args, **kwargs))

        threading.Thread(target=work).start()
        self.futures.append(future)
        return future


def test_the_tasks_of_an_executor_that_is_not_shared_are_left_to_it() -> None:
    pool = Later(len(CASES))
    report = run(InProcess(Reference()), CASES, GRADIENTS, executor=pool)
    assert [f.cancelled() for f in pool.futures] == [False] * len(CASES)
    assert _untimed(report) == _untimed(run(InProcess(Reference()), CASES, GRADIENTS))


def _untimed(report: Report) -> list[Outcome]:
    return [replace(o, seconds=0.0) for o in report.outcomes]
