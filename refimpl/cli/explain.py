"""refimpl explain: what the checks claim."""

from difflib import get_close_matches
from typing import Annotated

import typer
from rich.console import Console

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.selftest.explanations import check_table, checks_table

__all__ = ["command"]


def command(
    check: Annotated[
        str | None, typer.Argument(metavar="[CHECK]", help="A slug; none: lists all.")
    ] = None,
) -> None:
    """What a check claims, where that comes from, and what it lets pass."""
    console = Console()
    if check is None:
        console.print(checks_table())
        return
    by_slug = {c.slug: c for c in reversed(CHECKS)}
    if check not in by_slug:
        near = get_close_matches(check, [c.slug for c in CHECKS], n=3, cutoff=0.3)
        raise typer.BadParameter(
            f"there is no check {check!r}" + (f"; near it: {', '.join(near)}" if near else "")
        )
    console.print(check_table(by_slug[check]))
