"""refimpl faults: is every fault caught, and does every check catch one?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from refimpl.cli.processes import workers
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.faults import FAULTS
from refimpl.oracle.selftest.fault_matrix import Row, catch, matrix, write_rows
from refimpl.oracle.selftest.margins import worst_ratios, write_margins

__all__ = ["command"]


def command(
    only: Annotated[str, typer.Option(help="Of one bug type.")] = "",
    margins: Annotated[
        bool, typer.Option("--margins", help="Honest ones in all conventions too; margins.json.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Side by side.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Where to write the rows.")] = None,
) -> None:
    """Run every check against every fault; fails if one survives."""
    console = Console()
    chosen = [f for f in FAULTS if only in ("", f.bug_type)]
    with workers(processes if processes > 1 else 0) as executor:
        rows: list[Row] = []
        for row in matrix(chosen, executor=executor):
            rows.append(row)
            console.print(_line(row))
        idle = sorted({c.slug for c in CHECKS} - {slug for row in rows for slug in row.caught})
        later: list[Row] = []
        if not only:  # checks that caught nothing yet are tried on later cases
            run = map if executor is None else executor.map
            for slug, row in zip(idle[:], run(catch, idle), strict=True):
                if row is not None:
                    console.print(f"caught    {row.slug} by {slug} on {row.case}, a later case")
                    idle.remove(slug)
                    later.append(row)
        if margins:
            write_margins(worst_ratios(executor), [*rows, *later])
    if json is not None:
        write_rows(rows, json)
    console.print(_summary(rows, idle))
    raise typer.Exit(1 if _survivors(rows) else 0)


def _line(row: Row) -> str:
    if not row.caught:
        return (
            f"[yellow]crashed[/]   {row.slug}" if row.crashed else f"[red]survived[/]  {row.slug}"
        )
    return f"caught    {row.slug} by {len(row.caught)} checks on {row.case}" + (
        "" if row.named else "  (not named)"
    )


def _survivors(rows: Sequence[Row]) -> list[str]:
    return [row.slug for row in rows if not row.caught and not row.crashed]


def _summary(rows: Sequence[Row], idle: Sequence[str]) -> Table:
    crashes = [row.slug for row in rows if row.crashed and not row.caught]
    named = sum(row.named for row in rows)
    table = Table(show_header=False)
    table.add_row("faults", str(len(rows)))
    table.add_row("survived", ", ".join(_survivors(rows)) or "none")
    table.add_row("seen only as a crash", ", ".join(crashes) or "none")
    table.add_row("named by the diagnosis", f"{named} ({named / max(len(rows), 1):.0%})")
    table.add_row("checks that caught nothing", ", ".join(idle) or "none")
    return table
