"""Tables of figures with the best and the worst marked, and the same in Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from refimpl.report import text
from refimpl.report.lookup import Cell, across_seeds, cell, find, narrowed
from refimpl.report.results import Claim, Results, Statistic

__all__ = ["Entry", "Row", "Table", "agreement_table", "claims_markdown", "markdown", "step_table"]


@dataclass(frozen=True)
class Entry:
    """A figure in a table. `mark` is "best" (or indistinguishable from it), "worst" or empty."""

    cell: Cell | None
    mark: str = ""

    @property
    def value(self) -> str:
        """The figure."""
        return "–" if self.cell is None else text.figure(self.cell.value)

    @property
    def wide(self) -> bool:
        """Whether the figure has an interval: a matrix's error has none."""
        return self.cell is not None and (self.cell.low < self.cell.high or self.cell.undefined > 0)

    @property
    def interval(self) -> str:
        """Its interval, and how many queries it leaves out as undefined."""
        if self.cell is None:
            return ""
        without = f", {self.cell.undefined} undefined" if self.cell.undefined else ""
        return f"{text.figure(self.cell.low)} … {text.figure(self.cell.high)}{without}"


@dataclass(frozen=True)
class Row:
    """One curvature; `aside` keeps it out of the contest for best and worst."""

    name: str
    description: str
    aside: bool
    entries: list[Entry]


@dataclass(frozen=True)
class Table:
    """Rows of curvatures, columns of statistics, at one damping against one reference."""

    reference: str
    damping: float
    columns: list[Statistic]
    rows: list[Row]


def agreement_table(results: Results, reference: str, damping: float) -> Table:
    """Every curvature's agreement with a reference at one damping.

    The truth and the rungs above it take no part in the contest for best and worst. Every figure
    whose interval overlaps the best one's is marked best with it, because the data do not separate
    them; the worst likewise. A mark that most of the column would carry is left out.

    Args:
        results: The plain data.
        reference: Name of the reference.
        damping: lambda.
    """
    results = narrowed(results, reference=reference, damping=damping)
    aside = {results.get("truth"), *results.get("above", [])}
    columns = list(results.get("statistics", []))
    names = [c for c in results["curvatures"] if c["name"] != reference]
    columns = [
        s
        for s in columns
        if any(cell(results, reference, damping, c["name"], s["name"]) for c in names)
    ]
    grid = {
        c["name"]: [cell(results, reference, damping, c["name"], s["name"]) for s in columns]
        for c in names
    }
    rivals = [c["name"] for c in names if c["name"] not in aside]
    marks = {
        (name, j): mark
        for j, s in enumerate(columns)
        for name, mark in _marks({n: grid[n][j] for n in rivals}, s["better"]).items()
    }
    rows = [
        Row(
            c["name"],
            c["description"],
            c["name"] in aside,
            [Entry(grid[c["name"]][j], marks.get((c["name"], j), "")) for j in range(len(columns))],
        )
        for c in names
        if any(grid[c["name"]])
    ]
    return Table(reference, damping, columns, rows)


def step_table(results: Results, damping: float) -> Table:
    """What every step down the ladder loses at one damping, the lower rung against the upper.

    Args:
        results: The plain data.
        damping: lambda.
    """
    return _between(results, "steps", damping, lambda r: (r["lower"], f"from {r['upper']}"))


def gap_table(results: Results, damping: float) -> Table:
    """What each term between retraining and an estimate costs at one damping.

    Args:
        results: The plain data.
        damping: lambda.
    """
    return _between(results, "gaps", damping, lambda r: (r["term"], f"{r['upper']} → {r['lower']}"))


def _between(
    results: Results, key: str, damping: float, named: Callable[[Any], tuple[str, str]]
) -> Table:
    """A row for each (name, description) among the records of one key and damping."""
    here = find(results.get(key, []), damping=damping)
    columns = [
        s for s in results.get("statistics", []) if any(r["statistic"] == s["name"] for r in here)
    ]
    rows: list[Row] = []
    for name, description in dict.fromkeys(map(named, here)):
        alike = [r for r in here if named(r) == (name, description)]
        entries = [Entry(across_seeds(find(alike, statistic=s["name"]))) for s in columns]
        rows.append(Row(name, description, aside=False, entries=entries))
    return Table(key, damping, columns, rows)


def _marks(column: dict[str, Cell | None], better: str) -> dict[str, str]:
    known = {name: c for name, c in column.items() if c is not None}
    if len(known) < 2:
        return {}
    ordered = sorted(known.values(), key=lambda c: c.value, reverse=better == "higher")
    marks: dict[str, str] = {}
    for extreme, mark in ((ordered[-1], "worst"), (ordered[0], "best")):
        tied = [name for name, c in known.items() if c.overlaps(extreme)]
        if 2 * len(tied) <= len(known):
            marks |= dict.fromkeys(tied, mark)
    return marks


def markdown(table: Table) -> str:
    """The table in Markdown; best figures in bold."""
    head: Sequence[str] = ["curvature", *(s["label"] for s in table.columns)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(table.columns)]
    for row in table.rows:
        cells = [
            (f"**{e.value}**" if e.mark == "best" else e.value)
            + (f" [{e.interval}]" if e.wide else "")
            for e in row.entries
        ]
        lines.append("| " + " | ".join([row.name, *cells]) + " |")
    return "\n".join(lines)


def claims_markdown(claims: Sequence[Claim]) -> str:
    """What was claimed beside what was measured, as a table in Markdown."""
    lines = ["| claim | source | measured here | verdict |", "| --- | --- | --- | --- |"]
    for c in claims:
        measured = "; ".join(part for part in (c["measured"], c["detail"]) if part)
        cells = [c["claim"], c["source"], measured, f"**{c['verdict']}**"]
        lines.append("| " + " | ".join(_in_a_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _in_a_cell(plain: str) -> str:
    """On one line, and with no bar that would end the cell."""
    return " ".join(plain.split()).replace("|", "\\|")
