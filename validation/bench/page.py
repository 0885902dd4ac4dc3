"""The benches' page: targets with what was measured, drawings, tables; as HTML, JSON and Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation import pages
from validation.bench.drawings import drawings
from validation.bench.found import Found
from validation.bench.tables import tables
from validation.bench.targets import targets

__all__ = ["results", "write"]


def results(found: Found, provenance: Mapping[str, str]) -> dict[str, Any]:
    """Everything on the page as plain data.

    Args:
        found: What each part of each bench measured; parts that did not run are absent.
        provenance: What made the numbers.
    """
    return {
        "format": 1,
        "targets": targets(found),
        "tables": tables(found),
        "measured": found,
        "provenance": dict(provenance),
    }


def write(page: Mapping[str, Any], folder: Path) -> Path:
    """Write bench.html, bench.json and bench.md.

    Args:
        page: From `results`.
        folder: Where; it is made.

    Returns:
        The path of bench.html.
    """
    drawn = {name: Markup(svg) for name, svg in drawings(page["measured"]).items()}
    html = pages.rendered(Path(__file__).with_name("bench.html"), page=page, drawings=drawn)
    return pages.write("bench", folder, page, _markdown(page), html)


def _markdown(page: Mapping[str, Any]) -> str:
    lines = ["# What the truth costs", "", "| target | measured | |", "| --- | --- | --- |"]
    lines += [f"| {t['target']} | {t['measured']} | {t['verdict']} |" for t in page["targets"]]
    for table in page["tables"]:
        lines += ["", f"## {table['title']}", "", table["caption"], ""]
        lines += ["| " + " | ".join(table["head"]) + " |"]
        lines += ["| --- |" + " ---: |" * (len(table["head"]) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in table["rows"]]
    lines += ["", "## How this was made", ""]
    lines += [f"- {name}: {value}" for name, value in page["provenance"].items()]
    return "\n".join(lines) + "\n"
