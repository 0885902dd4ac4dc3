"""Margins of every check: the worst honest ratio on all cases, and the smallest faulty one that it fails.

Each fault counts on the first case that shows it.
"""

import json
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.selftest.fault_matrix import Row
from refimpl.oracle.selftest.honest import KINDS, implementation, questions, variants
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

__all__ = ["MARGINS", "worst_ratios", "write_margins"]

MARGINS = Path(__file__).with_name("margins.json")


def worst_ratios(executor: Executor | None = None) -> dict[str, float]:
    """The worst ratio of each check over the honest implementations, in every variant.

    Args:
        executor: Runs a task for each case; default: this process.
    """
    run = executor.map if executor is not None else map
    worst: dict[str, float] = {}
    for ratios in run(_worst, list(all_cases())):
        for slug, ratio in ratios.items():
            worst[slug] = max(worst.get(slug, 0.0), ratio)
    return worst


def _worst(name: str) -> dict[str, float]:
    worst: dict[str, float] = {}
    for variant in variants():
        for kind in KINDS:
            trial = Trial(InProcess(implementation(kind, variant)), all_cases()[name])
            for check, mode in questions(kind):
                ratio = judge_check(trial, check, mode).ratio if check.applies(trial) else None
                if ratio is not None and not math.isfinite(ratio):
                    raise ValueError(f"{kind}, {variant}: {check.slug} on {name} has {ratio}")
                if ratio is not None:
                    worst[check.slug] = max(worst.get(check.slug, 0.0), ratio)
    return worst


def write_margins(worst: dict[str, float], rows: Iterable[Row], path: Path = MARGINS) -> None:
    """Write both margins of every check and the faults that it catches, as JSON.

    Args:
        worst: Worst honest ratios from `worst_ratios`.
        rows: Rows of the matrix.
        path: Path of the file.
    """
    rows = list(rows)
    faulty = _smallest(rows)
    margins = {
        check.slug: {
            "honest": worst.get(check.slug),
            "faulty": faulty.get(check.slug),
            "catches": sorted({row.slug for row in rows if check.slug in row.caught}),
        }
        for check in CHECKS
    }
    path.write_text(json.dumps(margins, indent=1, allow_nan=False) + "\n")


def _smallest(rows: Sequence[Row]) -> dict[str, float | str]:
    smallest: dict[str, float] = {}
    for row in rows:
        for slug, ratio in row.caught.items():
            smallest[slug] = min(smallest.get(slug, ratio), ratio)
    return {slug: v if math.isfinite(v) else "infinite" for slug, v in smallest.items()}
