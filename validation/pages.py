"""Pages that stand apart from the studies': one folder with the same as HTML, JSON and Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import refimpl

__all__ = ["markdown_table", "write"]

# By its path: to import refimpl.report takes matplotlib, which the peers' environments lack.
STYLES = Path(refimpl.__file__).parent / "report" / "templates"
RULES = {"l": "---", "r": "---:"}


def write(
    template: Path, folder: Path, page: Mapping[str, Any], markdown: str, **values: Any
) -> Path:
    """Write a page as NAME.html, NAME.json and NAME.md, where NAME is its template's.

    Args:
        template: Jinja template of the HTML; it may include the reports' style.css.
        folder: Where to write; created if missing.
        page: The plain data, which the template knows as `page`; JSON has no NaN or infinity.
        markdown: The same in Markdown.
        values: What else the template refers to.

    Returns:
        The path of the HTML.
    """
    contents = {
        "json": json.dumps(page, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "md": markdown,
        "html": _rendered(template, page=page, **values),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in contents.items():
        (folder / f"{template.stem}.{ending}").write_text(content, encoding="utf-8")
    return folder / f"{template.stem}.html"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], alignment: str
) -> list[str]:
    """The lines of a table in Markdown.

    Args:
        head: A title for each column.
        rows: Cells, one for each column.
        alignment: A letter for each column: "l" left, "r" right.
    """
    rules = [RULES[letter] for letter in alignment]
    return [_line(cells) for cells in (head, rules, *rows)]


def _line(cells: Sequence[object]) -> str:
    return "|" + "".join(f" {cell} |" if cell != "" else " |" for cell in cells)


def _rendered(template: Path, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader([template.parent, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(values)
