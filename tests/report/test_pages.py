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
    for finding in report.findings(results):
        assert finding.claim in text
        assert finding.evidence in text
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


def section(page: str, name: str) -> str:
    section = re.search(rf'<section id="{name}">.*?</section>', page, flags=re.DOTALL)
    return section.group() if section else ""


def test_a_page_without_passages_and_claims_is_what_it_was(
    results: Any, passages: Any, claims: Any
) -> None:
    bare = report.page(results)
    assert section(bare, "passages") == section(bare, "claims") == ""
    assert "log p" not in Reader(bare).text
    whole = report.page(results | {"claims": claims})
    assert whole.replace(section(whole, "claims"), "").split() == bare.split()
    del results["gallery"]  # its own count of queries without influence is a finding
    assert "claimed" not in report.summary(results | {"claims": []})
    whole = report.page(results | {"passages": passages})
    cut = whole.replace(section(whole, "passages"), "").replace(section(whole, "findings"), "")
    bare = report.page(results)
    # nothing else differs but how the measurement is called
    bare = bare.replace(section(bare, "findings"), "").replace("query's loss", "query's log p")
    assert cut.split() == bare.split()


class Passages(HTMLParser):
    """The text of every passage, and what stands under every token that carries ink."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inks: list[tuple[str, str, str]] = []
        self.open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if tag == "p":
            self.open = "passage" in given.get("class", "")
            self.texts += [""] * self.open
        if tag == "i" and self.open:
            self.inks.append((given["class"], given["style"], given.get("title", "")))

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag != "p"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[-1] += data


def test_passages_are_shown_to_the_letter(results: Any, passages: Any) -> None:
    page = report.page(results | {"passages": passages})
    Reader(page)  # closed in order
    shown = Passages(section(page, "passages"))
    assert shown.texts == ["if x < y &", *["a<b\n&"] * 3, "def  y &"]
    assert shown.inks == [
        ("up", "--s: 50%", "+0.0500"),
        ("up", "--s: 12%", ""),
        ("down", "--s: 5%", ""),
        ("up", "--s: 11%", ""),
        ("down", "--s: 100%", "\u22120.1000"),
        ("up", "--s: 20%", ""),
    ]


def test_passages_are_told_in_words(results: Any, passages: Any) -> None:
    page = report.page(results | {"passages": passages})
    text = Reader(section(page, "passages")).text
    for words in (
        "log p(completion | prompt)",
        "raise the likelihood of the completion",
        "7 of 16 queries have a notable influence",
        "Two are shown.",
        "log p = \u22123.50",
        "lowers \u22120.1000 +0.1000 raises",
        "+0.0575 • with, 64, ℓ 1.25",
        "+0.0110 sequence 2, ℓ 1.25",
        "\u22120.0800 with, 32, ℓ 1.25",
        "query 5",
        "None does.",
        "• where coarse also has it",
    ):
        assert words in text, words


def test_without_another_curvature_nothing_is_marked_as_shared(results: Any, passages: Any) -> None:
    del passages["other"]
    assert "•" not in section(report.page(results | {"passages": passages}), "passages")


def test_passages_cannot_break_the_page(results: Any, passages: Any) -> None:
    harmful = '<script>alert("x")</script>'
    text = json.dumps(passages).replace('"with, 64"', json.dumps(harmful))
    text = text.replace('"<"', json.dumps(harmful)).replace('"if x <"', json.dumps(harmful))
    page = report.page(results | {"passages": json.loads(text)})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 1 + 1 + 3  # prompt, source, tokens


def test_claims_have_their_verdicts_in_words_and_marks(results: Any, claims: Any) -> None:
    page = report.page(results | {"claims": claims})
    text = Reader(section(page, "claims")).text
    for words in ("✓ confirmed", "✗ not confirmed", "? undecided", "– not measured"):
        assert text.count(words) == 1
    assert "tokens & their <sums> matter a paper r: 0.03 [0.02 … 0.04] how: confirmed" in text
    assert "larger models differ a paper – how: not measured" in text
    summary = report.summary(results | {"claims": claims})
    assert "## What was claimed, and what we measured" in summary
    assert "| **not measured** |" in summary


def test_no_claims_are_no_table(results: Any) -> None:
    assert report.page(results | {"claims": []}) == report.page(results)


def test_the_first_table_is_open_where_the_headline_damping_was_not_measured(results: Any) -> None:
    results["agreement"] = [
        f for f in results["agreement"] if f["reference"] == "truth" or f["damping"] == 1e-1
    ]
    page = report.page(results)
    assert re.findall(r'name="t-up" id="t-up-(\d)"( checked)?>', page) == [("1", " checked")]
    assert re.findall(r'name="t-truth" id="t-truth-(\d)" checked', page) == ["2"]


def test_every_chart_stands_once_with_its_title(results: Any) -> None:
    page = report.page(results)
    # two statistics against the truth, one against the outcome, two of certificates, two scatters,
    # the deciles and the trace
    titles = re.findall(r"<figure><h3>(?:<i [^>]*></i>)?([^<]*)</h3><svg", page)
    assert sorted(titles) == sorted(
        [
            "Pearson r",
            "error",
            "Pearson r",
            "Gradient norm where it ended, relative to the start",
            "Steps taken",
            "truth",
            "coarse",
            "Own loss of the most influential examples",
            "fine: residual of the whole matrix over steps, mean over queries",
        ]
    )
    assert page.count("<svg") == len(titles)


def test_pictures_of_many_pixels_are_smoothed(results: Any) -> None:
    results["gallery"]["queries"][0]["image"] = [[0.5] * 28] * 28
    page = report.page(results)
    assert page.count('class="digit smooth"') == 1
    assert page.count('class="digit"') == 3


def test_names_with_commas_and_spaces_are_kept(results: Any) -> None:
    name = "EK-FAC, tokens squared apart"
    page = report.page(json.loads(json.dumps(results).replace('"fine"', f'"{name}"')))
    assert name in Reader(page).text
    assert f"| {name} |" in report.summary(
        json.loads(json.dumps(results).replace('"fine"', f'"{name}"'))
    )


def test_steps_and_traces_have_their_place_where_there_are_some(results: Any) -> None:
    page = report.page(results)
    assert "What each step down the ladder costs" in page
    assert "fine: residual of the whole matrix" in page
    assert "What each step down the ladder costs, λ = 10⁻³" in report.summary(results)
    bare = {name: value for name, value in results.items() if name not in ("steps", "traces")}
    assert "down the ladder costs" not in report.page(bare) + report.summary(bare)  # type: ignore
    assert "residual of the whole matrix" not in report.page(bare)  # type: ignore[arg-type]
