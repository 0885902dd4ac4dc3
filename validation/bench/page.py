"""The benches' page: targets with what was measured, drawings, tables; as HTML, JSON and Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup

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
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(page, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "bench.json").write_text(text + "\n", encoding="utf-8")
    (folder / "bench.md").write_text(_markdown(page), encoding="utf-8")
    path = folder / "bench.html"
    path.write_text(_html(page), encoding="utf-8")
    return path


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


def _html(page: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=ChoiceLoader(
            [FileSystemLoader(Path(__file__).parent), PackageLoader("refimpl.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {name: Markup(svg) for name, svg in drawings(page["measured"]).items()}
    return environment.get_template("bench.html").render(page=page, drawings=drawn)
