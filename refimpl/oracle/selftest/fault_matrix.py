"""The matrix of faults and checks: which check catches which fault, and what survives."""

import json
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refimpl.oracle.cases import all_cases, quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.checks.check import Check
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.diagnosis import SHOWN, findings
from refimpl.oracle.faults import FAULTS, Fault, faulty
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import place
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.adapter import Adapter
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

__all__ = ["Row", "catch", "matrix", "write_rows"]


@dataclass(frozen=True)
class Row:
    """A row of the matrix: the checks that caught one fault.

    Args:
        slug: Slug of the fault.
        bug_type: Kind of the mistake.
        caught: Smallest ratio by check that failed it, on that case.
        crashed: Checks that got no answer to judge: a crash, NaN or a wrong shape is no ratio.
        case: The first case on which a check failed; empty if none did.
        diagnosis: Sentences of the diagnosis of the first fail.
        named: Whether one of those sentences is this very fault's.
        seconds: Duration of the diagnosis.
    """

    slug: str
    bug_type: str
    caught: dict[str, float] = field(default_factory=dict)
    crashed: tuple[str, ...] = ()
    case: str = ""
    diagnosis: tuple[str, ...] = ()
    named: bool = False
    seconds: float = 0.0

    def joined(self, outcome: Outcome) -> "Row":
        """The row with one more outcome: a fail counts by its smallest ratio, an error as a crash.

        Args:
            outcome: Outcome of any check in any of its modes.
        """
        slug = outcome.check
        if outcome.verdict is Verdict.ERROR:
            return replace(self, crashed=tuple(dict.fromkeys((*self.crashed, slug))))
        if outcome.verdict is not Verdict.FAIL or outcome.ratio is None:
            return self
        ratio = math.inf if math.isnan(outcome.ratio) else outcome.ratio
        smallest = min(ratio, self.caught.get(slug, math.inf))
        return replace(self, caught={**self.caught, slug: smallest})


def matrix(faults: Sequence[Fault] = FAULTS, *, executor: Executor | None = None) -> Iterable[Row]:
    """One row per fault, each up to the first case on which a check fails.

    Args:
        faults: Faults to plant, one at a time.
        executor: Runs a task for each fault; default: this process.
    """
    run = executor.map if executor is not None else map
    return run(_row, [f.slug for f in faults])


def _row(slug: str) -> Row:
    fault = next(f for f in FAULTS if f.slug == slug)
    row = Row(slug, fault.bug_type)
    for case in {**quick(), **all_cases()}.values():
        trial = Trial(InProcess(faulty(fault)), case)
        for check in sorted(CHECKS, key=lambda c: place(c.stage)):
            for mode in check.modes if check.applies(trial) else ():
                row = row.joined(judge_check(trial, check, mode))
                if row.caught and not row.case:
                    row = replace(row, case=case.id, **_diagnosis(trial, check, mode, slug))
        if row.caught:
            break
    return row


def catch(slug: str) -> Row | None:
    """A fault of a check's stage that the check catches, on the first of all cases that shows it.

    For checks that apply on no case on which a fault is first seen.

    Args:
        slug: Slug of the check.
    """
    check = next(c for c in CHECKS if c.slug == slug)
    for case in {**quick(), **all_cases()}.values():
        honest = _outcome(Reference(), check, case)
        if honest is not None and honest.verdict is Verdict.PASS:
            for fault in (f for f in FAULTS if f.stage == check.stage):
                outcome = _outcome(faulty(fault), check, case)
                row = Row(fault.slug, fault.bug_type, case=case.id)
                row = row if outcome is None else row.joined(outcome)
                if row.caught:
                    return row
    return None


def _outcome(adapter: Adapter, check: Check, case: Case) -> Outcome | None:
    """In the check's first mode; None: it does not apply."""
    trial = Trial(InProcess(adapter), case)
    return judge_check(trial, check, check.modes[0]) if check.applies(trial) else None


def _diagnosis(trial: Trial, check: Check, mode: Mode, slug: str) -> dict[str, Any]:
    """The sentences that a user is shown, and whether the fault is among them."""
    start = time.perf_counter()
    shown = findings(trial, check, mode)[:SHOWN]
    supposed = [finding.hypothesis for finding in shown if finding.hypothesis]
    named = {fault.slug for hypothesis in supposed for fault in hypothesis.faults}
    return {
        "diagnosis": tuple(finding.text for finding in shown),
        "named": slug in named,
        "seconds": time.perf_counter() - start,
    }


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON lines.

    Args:
        rows: Rows of the matrix.
        path: Path of the file.
    """
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
