"""`python -m validation validate`: quick studies against the committed baseline, or a new baseline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refimpl import report as pages
from validation.gate.baseline import (
    BadBaseline,
    Departure,
    departures,
    figures_of,
    read,
    write,
)

__all__ = ["validate"]


def validate(
    names: Sequence[str], out: Path, baselines: Path, reason: str | None, console: Console
) -> bool:
    """Compare finished runs with their baselines, or rewrite these; whether no figure failed.

    Args:
        names: The studies.
        out: Where they were run.
        baselines: The folder of the baselines.
        reason: Why the baselines are rewritten; None: they are not.
        console: Where to say what departs.
    """
    departed: list[Departure] = []
    elsewhere: dict[str, None] = {}
    good = True
    for name in names:
        path = baselines / f"{name}.json"
        new = figures_of(dict(pages.read(out / name)), reason or "to be compared")
        try:
            old = read(path)
            departed += departures(old, new)
            elsewhere |= dict.fromkeys(_changes(old["versions"], new["versions"]))
        except BadBaseline as error:
            if reason is None:
                console.print(str(error), style="red", markup=False, soft_wrap=True)
                good = False
        if reason is not None:
            write(path, new)
            console.print(f"baseline: {path}", markup=False, soft_wrap=True)
    if departed:
        console.print(_table(departed))
    failed = sum(d.fails for d in departed)
    if reason is not None:
        return True
    if failed and elsewhere:
        advice = (
            f"The baselines were computed elsewhere: {', '.join(elsewhere)}. Roundings alone moved no "
            "figure out of its interval when that was last tried (reports/README.md); whether this code "
            "is to blame, the code before it tells in this environment."
        )
        console.print(advice, soft_wrap=True, markup=False)
    console.print(f"{len(names)} studies, {failed} figures failed, {len(departed) - failed} new")
    return good and not failed


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Versions that differ between the baseline and this run."""
    return [
        f"{name} {old.get(name, 'unknown')}, now {new.get(name)}"
        for name in new
        if old.get(name) != new.get(name)
    ]


def _table(departed: Sequence[Departure]) -> Table:
    table = Table("study", "figure", "found", "baseline", "what happened")
    for d in departed:
        table.add_row(
            d.study,
            ", ".join(d.figure),
            "none" if d.value is None else f"{d.value:.8g}",
            "none" if d.low is None else f"[{d.low:.8g}, {d.high:.8g}]",
            d.reason,
            style="red" if d.fails else "yellow",
        )
    return table
