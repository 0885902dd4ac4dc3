"""The matrix of faults and checks: which check catches which fault, and what survives."""

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from refimpl.oracle.adapter import STAGES
from refimpl.oracle.cases import cases, quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.diagnosis import findings
from refimpl.oracle.faults import FAULTS, Fault, faulty
from refimpl.oracle.judge import judge
from refimpl.oracle.session import InProcess
from refimpl.oracle.trial import Trial
from refimpl.oracle.verdicts import Verdict

__all__ = ["Row", "matrix", "written"]


@dataclass(frozen=True)
class Row:
    """What became of one fault.

    Args:
        slug: The fault's.
        bug_type: The fault's.
        caught: Smallest ratio by check that caught it; None where there was no answer to judge.
        case: The first case that caught it; empty if none did.
        diagnosis: What was said of the first fail.
        named: Whether a hypothesis with this fault, or one of the identical answer, was named.
        seconds: Time of the diagnosis.
    """

    slug: str
    bug_type: str
    caught: dict[str, float | None] = field(default_factory=dict)
    case: str = ""
    diagnosis: tuple[str, ...] = ()
    named: bool = False
    seconds: float = 0.0


def matrix(
    faults: Sequence[Fault] = FAULTS, *, every: bool = False, executor: Executor | None = None
) -> Iterable[Row]:
    """One row per fault.

    Args:
        faults: The faults.
        every: Run all cases; default: stop at the first case that catches the fault.
        executor: Where they are run; default: here.
    """
    slugs = [f.slug for f in faults]
    run = executor.map if executor is not None else map
    return run(_row, slugs, [every] * len(slugs))


def _row(slug: str, every: bool) -> Row:
    fault = next(f for f in FAULTS if f.slug == slug)
    caught: dict[str, float | None] = {}
    first, said, named, seconds = "", (), False, 0.0
    for case in {**quick(), **cases()}.values():
        trial = Trial(InProcess(faulty(fault)), case)
        for check in sorted(CHECKS, key=lambda c: STAGES.index(c.stage)):
            if not check.applies(trial):
                continue
            for mode in check.modes:
                outcome = judge(trial, check, mode)
                if outcome.verdict not in (Verdict.FAIL, Verdict.ERROR):
                    continue
                ratio = outcome.ratio
                caught[check.slug] = min(
                    filter(None, (caught.get(check.slug), ratio)), default=None
                )
                if outcome.verdict is Verdict.FAIL and not said:
                    start = time.perf_counter()
                    found = findings(trial, check, mode)
                    seconds = time.perf_counter() - start
                    said = tuple(f.text for f in found)[:4]
                    named = any(f.hypothesis is not None and f.whole for f in found)
                first = first or case.id
        if first and not every:
            break
    return Row(slug, fault.bug_type, caught, first, said, named, seconds)


def written(rows: Sequence[Row], path: Path) -> None:
    """The rows as JSON lines.

    Args:
        rows: The rows.
        path: Of the file.
    """
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
