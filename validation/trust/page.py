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


def write(found: Mapping[str, Any], folder: Path) -> Path:
    """Write trust.html, trust.json and trust.md.

    Args:
        found: From `results`.
        folder: Where; it is made.

    Returns:
        The path of trust.html.
    """
    html = pages.rendered(
        Path(__file__).with_name("trust.html"),
        found=found, ratio=ratio, bar=_bar, mutants=_mutants(found["mutants"]),
        alarms=_alarms(found["alarms"]),
    )  # fmt: skip
    return pages.write("trust", folder, found, _markdown(found), html)


def ratio(value: float | str | None) -> str:
    """A ratio of a deviation to its bound."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else text.figure(value, 2)


def _markdown(found: Mapping[str, Any]) -> str:
    lines = [
        "# Why believe the reference",
        "",
        "| level | tests | random examples | comparisons | largest deviation / bound |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for level in found["levels"]:
        passed = level["tests"] - len(level["failed"])
        lines.append(
            f"| {level['name']} | {passed} of {level['tests']} | {level['examples']:,} "
            f"| {level['comparisons']:,} | {ratio(level['ratio'])} |"
        )
    lines += [
        "",
        "## Identities",
        "",
        "| # | identity | holds | random examples | largest deviation / bound |",
        "| ---: | --- | --- | ---: | ---: |",
    ]
    lines += [
        f"| {row['number']} | {row['statement']} | {row['assumptions']} | {row['examples']:,} "
        f"| {ratio(row['ratio']) if row['green'] else 'not shown'} |"
        for row in found["identities"]
    ]
    lines += [
        "",
        "## Proved, worst of all problems",
        "",
        "| quantity | problem | error | bound | ratio |",
    ]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {r['quantity']} | {r['problem']} | {r['error']:.1e} | {r['bound']:.1e} | {r['ratio']:.2g} |"
        for r in found["proved"]
    ]
    lines += ["", "## Mutation testing", "", _mutants(found["mutants"])]
    lines += ["", "## False alarms of the oracle", "", _alarms(found["alarms"])]
    for level in found["levels"]:
        lines += [f"\nFailed: {name}" for name in level["failed"]]
    return "\n".join(lines) + "\n"


def _mutants(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "Not measured: run `nox -s mutants`."
    tested, generated = found["total"], found["generated"]
    part = "" if tested == generated else f", a random sample of {generated:,}"
    ends = (
        ""
        if tested == generated
        else ", 95 % interval {:.1f} to {:.1f}".format(*(100 * end for end in found["interval"]))
    )
    without = sum(s["reason"] is None for s in found["survivors"])
    reason = "each with its reason" if not without else f"{without} of them without a reason yet"
    return (
        f"{found['killed']:,} of {tested:,} mutants{part} killed ({100 * found['score']:.1f} %{ends}), "
        f"{len(found['survivors'])} survive, {reason}; {found['tool']} {found['version']}, "
        f"{found['date']}."
    )


def _alarms(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "Not measured: run `nox -s alarms`."
    rows = found["rows"]
    wrong = sum(len(row["wrong"]) for row in rows)
    asked = sum(row["passed"] + row["indeterminate"] + len(row["wrong"]) for row in rows)
    among = _span([row["combined"] for row in rows[1:-1]])
    of = "" if found["sources"] == code() else ", of sources that have changed since"
    return (
        f"refimpl {_ways([row['seeds'] for row in rows])}, each way on {among} of them; a second "
        f"implementation, and that with its inverses formed, {_ways([r['by_all'] for r in rows])}: "
        f"{asked:,} questions; false alarms: {wrong}. Asked on {found['date']}{of}."
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
