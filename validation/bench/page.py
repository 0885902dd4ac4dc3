"""The benches' page: targets with what was measured, drawings, tables; as HTML, JSON and Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation import pages
from validation.bench.drawings import draw_benches
from validation.bench.measurements import Measurements
from validation.bench.tables import bench_tables
from validation.bench.targets import judged_targets

__all__ = ["results", "write"]


def results(measured: Measurements, provenance: Mapping[str, str]) -> dict[str, Any]:
    """Everything on the page as plain data.

    Args:
        measured: Values of each part of each bench; parts that did not run are absent.
        provenance: When, on what machine and by which versions they were measured.
    """
    return {
        "format": 1,
        "targets": judged_targets(measured),
        "tables": bench_tables(measured),
        "measured": measured,
        "provenance": dict(provenance),
    }


def write(page: Mapping[str, Any], folder: Path) -> Path:
    """Write bench.html, bench.json and bench.md.

    Args:
        page: From `results`.
        folder: Where to write; created if missing.

    Returns:
        The path of bench.html.
    """
    drawings = {name: Markup(svg) for name, svg in draw_benches(page["measured"]).items()}
    template = Path(__file__).with_name("bench.html")
    return pages.write(template, folder, page, markdown(page), drawings=drawings)


def markdown(page: Mapping[str, Any]) -> str:
    """The page in Markdown.

    Args:
        page: From `results`.
    """
    targets = ((t["target"], t["measured"], t["verdict"]) for t in page["targets"])
    lines = ["# What the truth costs", ""]
    lines += pages.markdown_table(("target", "measured", ""), targets, "lll")
    for table in page["tables"]:
        alignment = "l" + "r" * (len(table["head"]) - 1)
        lines += ["", f"## {table['title']}", "", table["caption"], ""]
        lines += pages.markdown_table(table["head"], table["rows"], alignment)
    lines += ["", "## How this was made", ""]
    lines += [f"- {name}: {value}" for name, value in page["provenance"].items()]
    return "\n".join(lines) + "\n"
