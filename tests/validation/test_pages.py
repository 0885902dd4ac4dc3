"""A page's three files."""

import json
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from validation import pages


def test_three_files_hold_the_same(tmp_path: Path) -> None:
    path = pages.write("said", tmp_path / "new", {"speed": "λ"}, "# λ\n", "<p>λ</p>")
    assert path == tmp_path / "new" / "said.html"
    assert path.read_text(encoding="utf-8") == "<p>λ</p>"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == "# λ\n"
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == {"speed": "λ"}


def test_numbers_that_json_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        pages.write("said", tmp_path, {"ratio": float("nan")}, "", "")


def test_templates_have_the_reports_style_escape_and_know_all_that_they_name(
    tmp_path: Path,
) -> None:
    template = tmp_path / "said.html"
    template.write_text('{% include "style.css" %}<p>{{ what }}</p>', encoding="utf-8")
    page = pages.rendered(template, what="a < b")
    assert "--accent" in page
    assert page.endswith("<p>a &lt; b</p>")
    with pytest.raises(UndefinedError, match="what"):
        pages.rendered(template)
