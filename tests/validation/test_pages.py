"""A page's three files."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from validation import pages


def written(folder: Path, template: str, page: dict[str, Any], **values: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "said.html").write_text(template, encoding="utf-8")
    return pages.write(folder / "said.html", folder / "new", page, "# λ\n", **values)


def test_three_files_hold_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, "<p>{{ page.speed }}</p>", {"speed": "λ"})
    assert path == tmp_path / "new" / "said.html"
    assert path.read_text(encoding="utf-8") == "<p>λ</p>"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == "# λ\n"
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == {"speed": "λ"}


def test_numbers_that_json_does_not_know_are_refused_before_a_file_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        written(tmp_path, "", {"ratio": float("nan")})
    assert not (tmp_path / "new").exists()


def test_templates_have_the_reports_style_escape_and_know_all_that_they_name(
    tmp_path: Path,
) -> None:
    template = '{% include "style.css" %}<p>{{ what }}</p>'
    html = written(tmp_path, template, {}, what="a < b").read_text(encoding="utf-8")
    assert "--accent" in html
    assert html.endswith("<p>a &lt; b</p>")
    with pytest.raises(UndefinedError, match="what"):
        written(tmp_path, template, {})


def test_a_table_in_markdown_aligns_its_columns() -> None:
    assert pages.markdown_table(("a", "b", ""), [("x", 1, "")], "lrl") == [
        "| a | b | |",
        "| --- | ---: | --- |",
        "| x | 1 | |",
    ]
