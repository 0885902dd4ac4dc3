"""A report in the terminal: what is wrong first, then stages by families with the worst ratio."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from refimpl.oracle.results.outcome import MEANING, Outcome, Verdict
from refimpl.oracle.results.report import STATUS_MEANING, Report, Status
from refimpl.oracle.stages import STAGES

__all__ = ["COLOURS", "cell", "figure", "grouped", "show"]

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.UNSUPPORTED: "dim",
    Verdict.DEVIATES: "yellow",
    Verdict.STALE: "bold yellow",
    Verdict.INDETERMINATE: "cyan",
}
# The first that a cell holds is what it is called.
WORST_FIRST = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.STALE,
    Verdict.DEVIATES,
    Verdict.PASS,
    Verdict.INDETERMINATE,
    Verdict.UNSUPPORTED,
)
STATUS_COLOURS = {
    Status.CONFORMS: "bold green",
    Status.PASSES: "green",
    Status.FAILS: "bold red",
    Status.UNSHOWN: "bold yellow",
    Status.UNDECIDED: "cyan",
    Status.UNASKED: "dim",
    Status.ABSENT: "dim",
}


def figure(ratio: float | None) -> str:
    """Format a ratio for people.

    Args:
        ratio: Error over u x scale, or None.
    """
    if ratio is None:
        return "–"
    if math.isnan(ratio) or math.isinf(ratio):
        return "∞" if ratio == math.inf else "NaN"
    return f"{ratio:.1e}" if ratio >= 1e4 else f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"


def cell(outcomes: Sequence[Outcome]) -> tuple[Verdict, float | None, int] | None:
    """The worst verdict, the worst ratio among its outcomes, and their number; None for no outcomes.

    Args:
        outcomes: Outcomes of one stage and one family.
    """
    for verdict in WORST_FIRST:
        same_verdict = [o for o in outcomes if o.verdict is verdict]
        if same_verdict:
            ratios = [o.ratio for o in same_verdict if o.ratio is not None]
            # NaN is the worst of all, which max does not know.
            worst = next((r for r in ratios if math.isnan(r)), max(ratios, default=None))
            return verdict, worst, len(same_verdict)
    return None


def grouped(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, int]]:
    """Group outcomes by stage, check, mode and verdict: one of each group with a diagnosis, and its size.

    Errors with the same text are one group: every check meets an exception that a stage raises.

    Args:
        outcomes: Outcomes in any order.
    """
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        question = outcome.stage, outcome.check, outcome.mode
        same = (outcome.detail,) if outcome.verdict is Verdict.ERROR else question
        groups.setdefault((outcome.verdict, *same), []).append(outcome)
    return [(max(group, key=lambda o: bool(o.diagnosis)), len(group)) for group in groups.values()]


def show(report: Report, console: Console) -> None:
    """Print a report."""
    for outcome, count in grouped(report.bad):
        _wrong(report, outcome, count, console)
    families = list(dict.fromkeys(o.family for o in report.outcomes))
    declaration = report.declaration
    table = Table(title=f"{declaration.name} {declaration.version}", title_justify="left")
    table.add_column("stage")
    for family in families:
        table.add_column(family)
    table.add_column("")
    for stage in STAGES:
        status = report.status(stage)
        cells = [_drawn([o for o in report.of(stage) if o.family == f]) for f in families]
        table.add_row(stage, *cells, Text(str(status), STATUS_COLOURS[status]))
    console.print(table)
    console.print("In each cell the worst ratio of error to rounding scale; most pass below 30.")
    _footer(report, console)


def _wrong(report: Report, outcome: Outcome, count: int, console: Console) -> None:
    head = Text(str(outcome.verdict), COLOURS[outcome.verdict])
    head.append(f"  {outcome.stage} · {outcome.check} · {outcome.mode}", "bold")
    head.append(f"  on {outcome.case}" + (f" and {count - 1} more" if count > 1 else ""))
    console.print(head, soft_wrap=True)
    console.print(Text(f"    {outcome.detail}"), soft_wrap=True)
    for sentence in outcome.diagnosis:
        console.print(Text(f"    → {sentence}", "yellow"), soft_wrap=True)
    console.print(Text(f"    {report.reproduction(outcome)}\n", "dim"), soft_wrap=True)


def _drawn(outcomes: Sequence[Outcome]) -> Text:
    summary = cell(outcomes)
    if summary is None:
        return Text("")
    verdict, ratio, count = summary
    if verdict is Verdict.PASS:
        return Text(figure(ratio), COLOURS[verdict])
    size = f" {figure(ratio)}" if ratio is not None else ""
    return Text(f"{verdict}{size} ({count})", COLOURS[verdict])


def _footer(report: Report, console: Console) -> None:
    footer = report.footer
    line = Text(f"{footer.planned} questions: ")
    parts = [Text(f"{n} {v}", COLOURS[Verdict(v)]) for v, n in footer.counts.items() if n]
    parts += [Text(f"{footer.absent} of stages not claimed")] if footer.absent else []
    parts += [Text(f"{footer.inapplicable} not applicable")] if footer.inapplicable else []
    line.append_text(Text(", ").join(parts))
    line.append(f"; {report.provenance.get('seconds', '?')} s")
    console.print(line, soft_wrap=True)
    for verdict in (Verdict.INDETERMINATE, Verdict.UNSUPPORTED):
        if footer.counts[str(verdict)]:
            console.print(Text(f"{verdict}: {MEANING[verdict]}", "dim"), soft_wrap=True)
    if report.not_shown:
        sentence = (
            f"{Status.UNSHOWN}: {', '.join(report.not_shown)}: {STATUS_MEANING[Status.UNSHOWN]}"
        )
        console.print(Text(sentence, STATUS_COLOURS[Status.UNSHOWN]), soft_wrap=True)
    for notice in report.notices:
        console.print(Text(notice, "yellow"), soft_wrap=True)
