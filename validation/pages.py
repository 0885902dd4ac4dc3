"""Pages that stand apart from the studies': one folder with the same as HTML, JSON and Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import refimpl

__all__ = ["rendered", "write"]

# By its path: to import refimpl.report takes matplotlib, which the peers' environments lack.
STYLES = Path(refimpl.__file__).parent / "report" / "templates"


def rendered(template: Path, **values: Any) -> str:
    """A page from its template, which may include the style of the reports.

    Args:
        template: Its file.
        values: What it refers to; all that it does must be there.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(values)


def write(name: str, folder: Path, data: Mapping[str, Any], markdown: str, html: str) -> Path:
    """Write NAME.json, NAME.md and NAME.html.

    Args:
        name: Of the files.
        folder: Where; it is made.
        data: All that is on the page; JSON knows neither NaN nor infinity.
        markdown: It in Markdown.
        html: It as a page.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    path = folder / f"{name}.html"
    path.write_text(html, encoding="utf-8")
    return path
