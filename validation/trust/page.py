"""The trust report as HTML, JSON and Markdown."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import scipy
import torch

import refimpl
from refimpl.report import text
from validation import pages
from validation.proved.records import ProvedRecord
from validation.trust.false_alarms import code
from validation.trust.identities import table
from validation.trust.levels import Summary, Test, summarise

__all__ = ["results", "write"]

SHOWN = 8  # tests listed per level


def results(
    tests: Sequence[Test],
    proved: Sequence[ProvedRecord],
    mutants: Mapping[str, Any] | None,
    alarms: Mapping[str, Any] | None,
    profile: str,
) -> dict[str, Any]:
    """The report as plain data.

    Args:
        tests: What the tests measured.
        proved: The worst record of each quantity of the proved problems.
        mutants: What `nox -s mutants` wrote; None: it has not been run.
        alarms: What `nox -s alarms` wrote; None: it has not been run.
        profile: hypothesis's profile.
    """
    return {
        "format": 1,
        "levels": [_level(summary) for summary in summarise(tests)],
        "identities": [row | {"ratio": _number(row["ratio"])} for row in table(tests)],
        "proved": [asdict(record) for record in proved],
        "mutants": mutants,
        "alarms": alarms,
        "provenance": {
            "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "refimpl": refimpl.__version__,
            "profile": profile,
            "libraries": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "hypothesis": hypothesis.__version__,
            },
            "machine": f"{platform.system()} {platform.machine()}, CPU",
        },
    }


def _level(summary: Summary) -> dict[str, Any]:
    worst = summary.worst[0] if summary.worst else None
    return {
        "name": summary.level.name,
        "claim": summary.level.claim,
        "green": summary.green,
        "tests": summary.tests,
        "failed": summary.failed,
        "examples": summary.examples,
        "comparisons": summary.comparisons,
        "ratio": _number(worst.ratio) if worst else None,
        "where": worst.name if worst else None,
        "what": worst.what if worst else None,
        "seconds": round(summary.seconds, 1),
        "nearest": [
            {
                "test": t.name,
                "what": t.what,
                "ratio": _number(t.ratio),
                "comparisons": t.comparisons,
            }
            for t in summary.worst[:SHOWN]
        ],
    }


def _number(ratio: float | None) -> float | str | None:
    """JSON knows neither NaN nor infinity."""
    return ratio if ratio is None or math.isfinite(ratio) else str(ratio)


def write(page: Mapping[str, Any], folder: Path) -> Path:
    """Write trust.html, trust.json and trust.md.

    Args:
        page: From `results`.
        folder: Where to write; created if missing.

    Returns:
        The path of trust.html.
    """
    return pages.write(
        Path(__file__).with_name("trust.html"),
        folder,
        page,
        _markdown(page),
        ratio=ratio,
        bar=_bar,
        mutants=_mutants(page["mutants"]),
        alarms=_alarms(page["alarms"]),
    )


def ratio(value: float | str | None) -> str:
    """A ratio of a deviation to its bound."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else text.figure(value, 2)


def _markdown(page: Mapping[str, Any]) -> str:
    levels = (
        (
            level["name"],
            f"{level['tests'] - len(level['failed'])} of {level['tests']}",
            f"{level['examples']:,}",
            f"{level['comparisons']:,}",
            ratio(level["ratio"]),
        )
        for level in page["levels"]
    )
    identities = (
        (
            row["number"],
            row["statement"],
            row["assumptions"],
            f"{row['examples']:,}",
            ratio(row["ratio"]) if row["green"] else "not shown",
        )
        for row in page["identities"]
    )
    proved = (
        (
            r["quantity"],
            r["problem"],
            f"{r['error']:.1e}",
            f"{r['bound']:.1e}",
            f"{r['ratio']:.2g}",
        )
        for r in page["proved"]
    )
    lines = ["# Why believe the reference", ""]
    head = ("level", "tests", "random examples", "comparisons", "largest deviation / bound")
    lines += pages.markdown_table(head, levels, "lrrrr")
    lines += ["", "## Identities", ""]
    head = ("#", "identity", "holds", "random examples", "largest deviation / bound")
    lines += pages.markdown_table(head, identities, "rllrr")
    lines += ["", "## Proved, worst of all problems", ""]
    head = ("quantity", "problem", "error", "bound", "ratio")
    lines += pages.markdown_table(head, proved, "llrrr")
    lines += ["", "## Mutation testing", "", _mutants(page["mutants"])]
    lines += ["", "## False alarms of the oracle", "", _alarms(page["alarms"])]
    for level in page["levels"]:
        lines += [f"\nFailed: {name}" for name in level["failed"]]
    return "\n".join(lines) + "\n"


def _mutants(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "Not measured: run `nox -s mutants`."
    tested, generated = score["total"], score["generated"]
    part = "" if tested == generated else f", a random sample of {generated:,}"
    ends = (
        ""
        if tested == generated
        else ", 95 % interval {:.1f} to {:.1f}".format(*(100 * end for end in score["interval"]))
    )
    without = sum(s["reason"] is None for s in score["survivors"])
    reason = "each with its reason" if not without else f"{without} of them without a reason yet"
    return (
        f"{score['killed']:,} of {tested:,} mutants{part} killed ({100 * score['score']:.1f} %{ends}), "
        f"{len(score['survivors'])} survive, {reason}; {score['tool']} {score['version']}, "
        f"{score['date']}."
    )


def _alarms(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "Not measured: run `nox -s alarms`."
    rows = summary["rows"]
    wrong = sum(len(row["wrong"]) for row in rows)
    questions = sum(row["passed"] + row["indeterminate"] + len(row["wrong"]) for row in rows)
    among = _span([row["combined"] for row in rows[1:-1]])
    state = "" if summary["sources"] == code() else ", of sources that have changed since"
    return (
        f"refimpl {_ways([row['seeds'] for row in rows])}, each way on {among} of them; a second "
        f"implementation, and that with its inverses formed, {_ways([r['by_all'] for r in rows])}: "
        f"{questions:,} questions; false alarms: {wrong}. Asked on {summary['date']}{state}."
    )


def _ways(seeds: Sequence[int]) -> str:
    defaults, *others, several = seeds
    return (
        f"by default on {defaults:,} seeds, in each of {len(others)} other ways on {_span(others)}, and "
        f"in several at once, drawn by the seed, on {several:,}"
    )


def _span(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _bar(value: float | str | None) -> float:
    """Width of a bar in per cent, on a logarithmic scale from 1e-6 to 1."""
    if not isinstance(value, float | int) or value <= 1e-6:
        return 0.0 if value is None or isinstance(value, float | int) else 100.0
    return float(min(100.0, 100 * (1 + np.log10(value) / 6)))
