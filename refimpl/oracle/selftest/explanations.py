"""Tables of what checks claim and why, for `refimpl explain`."""

from rich.table import Table
from rich.text import Text

from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.selftest.measured import in_words, measured_margins

__all__ = ["check_table", "checks_table"]


def checks_table() -> Table:
    """A table with a line for every check."""
    table = Table(box=None, pad_edge=False)
    for name in ("check", "stage", "family", "claims"):
        table.add_column(name, no_wrap=name == "check")
    for check in CHECKS:
        table.add_row(check.slug, check.stage, check.family, Text(check.statement))
    return table


def check_table(check: Check) -> Table:
    """A table of everything about a check."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    rows = {
        "check": check.slug,
        "stage": f"{check.stage}, {' and '.join(check.modes)}",
        "family": check.family,
        "claims": check.statement,
        "equation": check.equation,
        "source": check.source,
        "scale": f"{check.scale}; the ratio passes below {check.threshold:g}",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    if margins := measured_margins().get(check.slug):
        caught = margins["catches"]
        table.add_row("margins", Text(in_words(margins)))
        table.add_row("catches", Text(f"{len(caught)} planted faults: {', '.join(caught)}"))
    return table
