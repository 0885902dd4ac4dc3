"""A report: deviations, statuses, exit codes, and files that are refused when they are not whole."""

import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from refimpl.oracle import Declaration, Outcome, Verdict
from refimpl.oracle.results.badge import write_badge
from refimpl.oracle.results.deviations import (
    BadDeviations,
    Deviation,
    declared,
    read as read_deviations,
)
from refimpl.oracle.results.html import write_html
from refimpl.oracle.results.junit import write_junit
from refimpl.oracle.results.lines import InvalidReport, read, write_lines
from refimpl.oracle.results.report import NOT_SHOWN, Report, Status
from refimpl.oracle.results.terminal import grouped, show


def outcome(verdict: Verdict, stage: str = "gradients", family: str = "stages") -> Outcome:
    return Outcome(
        "mlp/a",
        stage,
        f"check-{verdict}",
        family,
        "isolated",
        verdict,
        2.0,
        detail="<b>",
        shows=True,
    )


def report(
    *outcomes: Outcome,
    selection="all",
    notices: tuple[str, ...] = (),
    stages: tuple[str, ...] = ("gradients", "factors"),
    asked: tuple[str, ...] | None = None,
) -> Report:
    return Report(
        "m:C",
        Declaration("lib", "2"),
        stages,
        outcomes,
        selection,
        len(outcomes) + 3,
        2,
        1,
        {"seconds": 1.0},
        notices,
        asked,
    )


def test_a_stage_conforms_with_a_pass_in_every_family_and_nothing_wrong() -> None:
    good = outcome(Verdict.PASS)
    unsure = outcome(Verdict.INDETERMINATE, family="metamorphic")
    assert report(good).status("gradients") is Status.CONFORMS
    assert report(good, unsure).status("gradients") is Status.UNDECIDED
    both = report(good, unsure, outcome(Verdict.PASS, family="metamorphic"))
    assert both.status("gradients") is Status.CONFORMS
    for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.STALE):
        assert report(good, outcome(verdict)).status("gradients") is Status.FAILS
    assert report(good).status("factors") is Status.UNSHOWN
    assert report(good).status("scores") is Status.ABSENT
    part = report(good, selection="quick")
    assert part.status("gradients") is Status.PASSES
    assert part.status("factors") is Status.UNASKED


def test_one_exception_that_many_checks_meet_is_told_once() -> None:
    crash = outcome(Verdict.ERROR)
    met = [replace(crash, check=f"check {k}", mode=mode) for k in range(3) for mode in "ab"]
    other = replace(crash, detail="another")
    fails = [replace(outcome(Verdict.FAIL), check=f"check {k}") for k in range(2)]
    assert [count for _, count in grouped([*met, other, *fails])] == [6, 1, 1, 1]


@pytest.mark.parametrize(
    ("verdict", "code", "strict"),
    [
        (Verdict.PASS, 0, 0),
        (Verdict.FAIL, 1, 1),
        (Verdict.ERROR, 1, 1),
        (Verdict.STALE, 0, 1),
        (Verdict.DEVIATES, 0, 0),
        (Verdict.INDETERMINATE, NOT_SHOWN, NOT_SHOWN),
        (Verdict.UNSUPPORTED, NOT_SHOWN, NOT_SHOWN),
    ],
)
def test_exit_codes(verdict: Verdict, code: int, strict: int) -> None:
    found = report(outcome(verdict), stages=("gradients",))
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (code, strict)
    assert report(outcome(Verdict.PASS), notices=("expired",)).exit_code(strict=True) == 1


def test_a_property_alone_does_not_show_a_stage() -> None:
    """Symmetric, linear and the same twice: zeros are too."""
    good, other = outcome(Verdict.PASS), outcome(Verdict.PASS, "factors")
    alike = replace(other, shows=False)
    for selection in ("all", "quick", "part"):
        found = report(good, alike, selection=selection, asked=("gradients", "factors"))
        assert found.status("factors") is Status.UNSHOWN
        assert found.exit_code(strict=False) == NOT_SHOWN
        assert report(good, alike, other, selection=selection).exit_code(strict=False) == 0
    failing = report(outcome(Verdict.FAIL), alike)
    assert failing.exit_code(strict=False) == 1


def test_a_selection_says_nothing_of_what_it_did_not_ask() -> None:
    good = outcome(Verdict.PASS)
    unasked = report(good, selection="part", asked=("gradients", "factors"))
    assert unasked.status("factors") is Status.UNASKED
    assert unasked.exit_code(strict=False) == 0
    alike = replace(outcome(Verdict.PASS, "factors"), shows=False)
    of_properties = report(good, alike, selection="part", asked=("gradients",))
    assert of_properties.status("factors") is Status.PASSES
    assert of_properties.exit_code(strict=False) == 0
    quick = report(good, selection="quick", asked=("gradients", "factors"))
    assert quick.exit_code(strict=False) == NOT_SHOWN


def test_what_is_not_shown_is_said_in_every_form(tmp_path: Path) -> None:
    alike = replace(outcome(Verdict.PASS, "factors"), shows=False)
    found = report(outcome(Verdict.PASS), alike, asked=("gradients", "factors"))
    write_lines(found, tmp_path / "r.jsonl")
    footer = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])
    assert footer["stages"]["factors"] == "not shown"
    assert read(tmp_path / "r.jsonl") == found
    write_html(found, tmp_path / "r.html")
    assert "not shown: factors" in (tmp_path / "r.html").read_text("utf-8")
    write_badge(found, tmp_path / "b.json")
    badge = json.loads((tmp_path / "b.json").read_text())
    assert badge["message"] == "conforms: gradients; not shown: factors"
    assert badge["color"] != "brightgreen"
    write_junit(found, tmp_path / "r.xml")
    root = ET.parse(tmp_path / "r.xml").getroot()
    assert (root.get("tests"), root.get("skipped")) == ("3", "1")
    assert root.find(".//testcase[@name='shown']/skipped") is not None
    console = Console(record=True, width=200, file=io.StringIO())
    show(found, console)
    assert "not shown: factors" in console.export_text()


def test_a_report_written_before_is_read(tmp_path: Path) -> None:
    found = report(outcome(Verdict.PASS), stages=("gradients",))
    write_lines(found, tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    del lines[0]["asked"], lines[1]["shows"]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read(tmp_path / "r.jsonl") == found


@pytest.mark.parametrize(
    ("verdict", "becomes"),
    [
        (Verdict.FAIL, Verdict.DEVIATES),
        (Verdict.PASS, Verdict.STALE),
        (Verdict.ERROR, Verdict.ERROR),
        (Verdict.INDETERMINATE, Verdict.INDETERMINATE),
    ],
)
def test_what_is_declared_deviates_or_is_stale(verdict: Verdict, becomes: Verdict) -> None:
    entry = Deviation("mlp/*::gradients::*", "on purpose", "https://e.org", date(2030, 1, 1))
    assert declared(outcome(verdict), (entry,)).verdict is becomes
    assert declared(outcome(verdict, "factors"), (entry,)).verdict is verdict


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[deviation]]\nid = 'a'", "needs reason, link, expires"),
        ("[[other]]", "[[deviation]] tables only"),
        ("[[deviation]]\nid='a'\nreason='b'\nlink='c'\nexpires='soon'", "a date like"),
        ("[[deviation]]\nid='a'\nreason='b'\nlink='c'\nexpires=2030-01-01\nx=1", "no place for x"),
        ("=", "cannot be read"),
    ],
)
def test_a_file_of_deviations_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(BadDeviations) as error:
        read_deviations(tmp_path / "d.toml")
    assert said in str(error.value)


WHOLE = report(
    outcome(Verdict.PASS),
    outcome(Verdict.FAIL),
    replace(outcome(Verdict.FAIL), ratio=1e9),
    stages=("gradients",),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_lines(WHOLE, tmp_path / "r.jsonl")
    assert read(tmp_path / "r.jsonl") == WHOLE
    endless = report(replace(outcome(Verdict.FAIL), ratio=float("inf")))
    write_lines(endless, tmp_path / "r.jsonl")
    assert read(tmp_path / "r.jsonl") == endless


@pytest.mark.parametrize("broken", ["footer", "header", "outcome", "counts", "total", "field"])
def test_a_report_that_is_not_whole_is_refused(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_lines(WHOLE, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    if broken == "footer":
        del lines[-1]
    elif broken == "header":
        del lines[0]
    elif broken == "outcome":
        del lines[1]
    elif broken == "counts":
        lines[-1]["counts"]["pass"] += 1
    elif broken == "total":
        lines[-1]["planned"] += 1
    else:
        lines[1]["more"] = 1
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    said = {
        "footer": "has no footer",
        "header": "does not begin with a header",
        "outcome": "the footer says",
        "counts": "the footer says",
        "total": "do not add up",
        "field": "line 2",
    }
    with pytest.raises(InvalidReport, match=said[broken]):
        read(path)


def test_pages_and_badges(tmp_path: Path) -> None:
    write_html(WHOLE, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "&lt;b&gt;" in text
    assert "refimpl check m:C --case mlp/a --check check-fail" in text
    assert "http://" not in text
    assert "https://" not in text
    write_junit(WHOLE, tmp_path / "r.xml")
    root = ET.parse(tmp_path / "r.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    assert len(root.findall(".//failure")) == 2
    write_badge(WHOLE, tmp_path / "b.svg")
    assert ET.parse(tmp_path / "b.svg").getroot().get("aria-label") == (
        "influence functions: fails: gradients"
    )
    write_badge(report(outcome(Verdict.PASS), stages=("gradients",)), tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["message"] == "conforms: gradients"
