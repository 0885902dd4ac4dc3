"""Pages: self-contained, complete, and silent about what was not measured."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from refimpl import report

VOID = {"meta", "br", "img", "input", "hr", "link"}


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that tags are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_a_page_fetches_nothing(results: Any) -> None:
    page = report.page(results)
    reader = Reader(page)
    assert all(a.startswith(("#", "data:")) for a in reader.addresses), reader.addresses
    assert not set(reader.tags) & {"script", "link", "iframe", "object", "embed"}
    style = "".join(re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL))
    assert "@import" not in style
    assert "url(" not in style


def test_a_page_shows_every_figure_finding_and_picture(results: Any) -> None:
    text = Reader(page := report.page(results)).text
    for found in report.findings(results):
        assert found.claim in text
        assert found.evidence in text
    for value in ("0.850", "0.500", "0.890", "0.400"):
        assert value in text
    assert page.count('class="digit"') == 1 + 3
    assert "missed: 10" in text
    assert "13 are left out" in text
    assert text.count("torch 2") == 1


def test_the_headline_damping_is_open(results: Any) -> None:
    page = report.page(results)
    assert re.findall(r'name="t-truth" id="t-truth-(\d)" checked', page) == ["2"]
    assert len(re.findall(r'name="t-truth"', page)) == 2


def test_parts_that_are_not_there_are_left_out(results: Any) -> None:
    bare = {
        k: results[k] for k in ("format", "name", "title", "setting", "curvatures", "provenance")
    }
    bare["agreement"] = []
    reader = Reader(report.page(bare))  # type: ignore[arg-type]
    assert "svg" not in reader.tags
    assert "retraining" not in reader.text
    assert "An example" in reader.text


def test_names_cannot_break_the_page(results: Any) -> None:
    harmful = '<script>alert("x")</script>'
    text = json.dumps(results).replace('"coarse"', json.dumps(harmful))
    page = report.page(json.loads(text))
    assert "<script" not in page
    assert harmful in Reader(page).text


def test_the_same_results_give_the_same_page(results: Any) -> None:
    assert report.page(results) == report.page(results)


def test_what_is_written_is_read_back_and_indexed(results: Any, tmp_path: Path) -> None:
    path = report.write(results, tmp_path / "example")
    assert path == tmp_path / "example" / "report.html"
    assert path.read_text() == report.page(results)
    assert report.read(tmp_path / "example") == json.loads(json.dumps(results))
    index = report.write_index(tmp_path).read_text()
    reader = Reader(index)
    assert "example/report.html" in reader.addresses
    assert report.findings(results)[0].claim in reader.text


def test_results_of_another_version_are_refused_and_named_in_the_index(
    results: Any, tmp_path: Path
) -> None:
    report.write(results | {"format": 0}, tmp_path / "old")
    with pytest.raises(ValueError, match="has format 0, this version reads 1"):
        report.read(tmp_path / "old")
    report.write(results, tmp_path / "new")
    text = Reader(report.write_index(tmp_path).read_text()).text
    assert "has format 0, this version reads 1: make the report again" in text
    assert "An example" in text


def test_an_empty_index_says_what_to_do(tmp_path: Path) -> None:
    assert "python -m validation report" in report.write_index(tmp_path).read_text()


def test_reading_where_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing was reported there yet"):
        report.read(tmp_path)


def test_the_summary_has_findings_tables_and_provenance(results: Any) -> None:
    lines = report.summary(results).splitlines()
    first = report.findings(results)[0]
    assert f"- **{first.claim}.** {first.evidence}" in lines
    assert "| fine | **0.700** [0.690 … 0.710] | **0.100** [0.090 … 0.110] |" in lines
    assert "- libraries: torch 2" in lines
