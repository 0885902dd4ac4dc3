"""Cases side by side: the executor's tasks and this process's own add up to the whole report."""

import threading
from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest

from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.results.outcome import Outcome
from refimpl.oracle.results.report import Report
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.in_process import InProcess

CASES = dict(list(quick().items())[:4])
GRADIENTS = [c for c in CHECKS if c.stage == "gradients"]


class Held(Executor):
    """A worker that is kept from its first task until it is let go, and then runs all at once."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.let_go = threading.Event()

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()

        def work() -> None:
            if self.let_go.wait(20):
                future.set_result(fn(*args, **kwargs))
            else:  # who waits for it then fails, and does not hang
                future.set_exception(TimeoutError("this process ran no case of its own"))

        self.futures.append(future)
        if self.let_go.is_set():
            work()
        else:
            self.first = threading.Thread(target=work)
            self.first.start()
        return future


@pytest.mark.parametrize("own", [1, 3])
def test_this_process_does_what_the_workers_have_not_begun(own) -> None:
    session, told, pool = InProcess(Reference()), [], Held()
    alone = run_checks(session, CASES, GRADIENTS)

    def progress(done, total, outcomes) -> None:
        told.append((done, total))
        if len(told) == own:
            pool.let_go.set()
            pool.first.join(60)  # by then it has been given all that was left

    both = run_checks(session, CASES, GRADIENTS, executor=pool, workers=1, progress=progress)
    assert _untimed(both) == _untimed(alone)
    assert len(pool.futures) == len(CASES) - own
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1][0] == told[-1][1] == len(both.outcomes) + both.inapplicable


class Later(Executor):
    """A thread a task, which begins it when everything has been handed out."""

    def __init__(self, tasks: int) -> None:
        self.futures: list[Future] = []
        self.handed_out = threading.Barrier(tasks)

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()

        def work() -> None:
            self.handed_out.wait()
            if future.set_running_or_notify_cancel():
                future.set_result(fn(*args, **kwargs))

        threading.Thread(target=work).start()
        self.futures.append(future)
        return future


def test_the_tasks_of_an_executor_of_no_stated_workers_are_left_to_it() -> None:
    pool = Later(len(CASES))
    report = run_checks(InProcess(Reference()), CASES, GRADIENTS, executor=pool)
    assert [f.cancelled() for f in pool.futures] == [False] * len(CASES)
    assert _untimed(report) == _untimed(run_checks(InProcess(Reference()), CASES, GRADIENTS))


def _untimed(report: Report) -> list[Outcome]:
    return [replace(o, seconds=0.0) for o in report.outcomes]
