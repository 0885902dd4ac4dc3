"""Cases side by side: the executor's tasks and this process's own add up to the whole report."""

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


def _untimed(report: Report) -> list[Outcome]:
    return [replace(o, seconds=0.0) for o in report.outcomes]
