"""What `python -m validation trust` and `alarms` do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from validation import proved
from validation.parts.executors import executor as open_executor
from validation.trust import false_alarms
from validation.trust.identities import missing
from validation.trust.levels import read
from validation.trust.page import ratio, results, write

__all__ = ["count_alarms", "draw_report"]


def draw_report(
    evidence: Path, mutants: Path, alarms: Path, out: Path, profile: str, console: Console
) -> bool:
    """Write the trust report and print its levels; whether all is green and there is no false alarm.

    Args:
        evidence: File that `pytest --evidence` wrote.
        mutants: File that `nox -s mutants` wrote; it may be missing.
        alarms: File that `nox -s alarms` wrote; it may be missing.
        out: Folder of the report.
        profile: hypothesis's profile of the test run.
        console: Where to print the levels.
    """
    worst = list(proved.worst(proved.proved_records()).values())
    alarm_counts = _saved(alarms)
    page = results(read(evidence), worst, _saved(mutants), alarm_counts, profile)
    console.print(_levels(page["levels"]))
    shown = [row for row in page["identities"] if row["green"]]
    print(f"identities shown: {len(shown)} of {len(page['identities'])}")
    print(f"report: {write(page, out)}")
    return (
        not (alarm_counts and any(row["wrong"] for row in alarm_counts["rows"]))
        and not missing(page["identities"])
        and all(level["green"] for level in page["levels"])
    )


def _saved(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _levels(levels: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("level", "tests", "random examples", "largest deviation / bound", "where")
    for level in levels:
        table.add_row(
            level["name"],
            f"{level['tests'] - len(level['failed'])} of {level['tests']}",
            f"{level['examples']:,}",
            ratio(level["ratio"]),
            (level["where"] or "").removeprefix("tests/"),
            style=None if level["green"] else "red",
        )
    return table


def count_alarms(
    seeds: range, out: Path, summary: Path, others: int, where: str, console: Console
) -> int:
    """Judge honest implementations on the cases of seeds, print a table, return the false alarms.

    Args:
        seeds: The seeds.
        out: JSON lines of verdicts, resumed where they end.
        summary: Where to write the counts.
        others: As for `false_alarms.chosen_for`.
        where: The executor: "in-process" or "processes:N".
        console: Where to print the table.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with open_executor(where) as running, Progress(*columns) as bar:
        task = bar.add_task("seeds", total=len(seeds))
        for done in false_alarms.run(seeds, out, running, others):
            bar.update(task, completed=done)
    counts = false_alarms.summary(false_alarms.read(out), seeds)
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    console.print(_variants(counts["rows"]))
    wrong = [line for row in counts["rows"] for line in row["wrong"]]
    print(*wrong, f"written: {summary}", sep="\n")
    return len(wrong)


def _variants(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("seeds", "by all", "pass", "cannot decide", "not claimed", "false alarms")
    table = Table("conventions", *columns)
    for row in rows:
        counts = [row[k] for k in ("seeds", "by_all", "passed", "indeterminate", "unsupported")]
        table.add_row(row["variant"], *(f"{n:,}" for n in counts), str(len(row["wrong"])))
    return table
