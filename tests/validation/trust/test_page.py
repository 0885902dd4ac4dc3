"""The trust report as a page: green, red, not measured."""

import json
import math

import pytest
from typer.testing import CliRunner

from validation.__main__ import app
from validation.proved.records import ProvedRecord
from validation.trust.false_alarms import COMBINED
from validation.trust.identities import IDENTITIES
from validation.trust.levels import LEVELS, Test
from validation.trust.page import results, write

PROVED = [ProvedRecord("tanh", "A", 1e-17, 1e-16, 0.1)]
MUTANTS = {
    "tool": "m",
    "version": "1",
    "date": "2026-01-01",
    "generated": 300,
    "total": 200,
    "killed": 199,
    "score": 0.995,
    "interval": [0.972, 1.0],
    "by_module": {"refimpl/x.py": {"total": 200, "killed": 199}},
    "survivors": [
        {
            "mutant": "f",
            "file": "x.py",
            "function": "f",
            "change": "a → b",
            "reason": "equal <to> it",
        }
    ],
}
ALARMS = {
    "date": "2026-02-03",
    "sources": "of old",
    "rows": [
        {
            "variant": "defaults",
            "seeds": 1000,
            "by_all": 500,
            "combined": 0,
            "passed": 5000,
            "indeterminate": 40,
            "unsupported": 0,
            "wrong": [],
        },
        {
            "variant": "sign=product",
            "seeds": 900,
            "by_all": 450,
            "combined": 410,
            "passed": 4000,
            "indeterminate": 50,
            "unsupported": 3,
            "wrong": ["drawn, seed 3: scores-equal (isolated) fail"],
        },
        {
            "variant": COMBINED,
            "seeds": 800,
            "by_all": 400,
            "combined": 0,
            "passed": 900,
            "indeterminate": 0,
            "unsupported": 0,
            "wrong": [],
        },
    ],
}


def everything(**changed):
    tests = [
        Test(f"{level.tests[0]}t.py::t", "passed", 1.0, ratio=0.25, comparisons=1, what="here")
        for level in LEVELS
    ]
    tests[0] = Test(
        "tests/validation/proved/t.py::red", **{"outcome": "passed", "seconds": 1.0} | changed
    )
    return tests


@pytest.mark.parametrize("ratio", [math.nan, math.inf])
def test_a_page_says_what_is_red_and_where(tmp_path, ratio):
    page_data = results(everything(outcome="failed", ratio=ratio), PROVED, MUTANTS, ALARMS, "ci")
    page = write(page_data, tmp_path).read_text()
    assert f"{len(LEVELS) - 1} of {len(LEVELS)}" in page
    assert "tests/validation/proved/t.py::red" in page
    assert "equal &lt;to&gt; it" in page
    assert "99.5 %" in page
    assert "199 of 200 mutants, a random sample of 300 killed" in page
    assert "95 % interval 97.2 to 100.0" in page
    assert (
        "refimpl by default on 1,000 seeds, in each of 1 other ways on 900, and in several at once, drawn "
        "by the seed, on 800, each way on 410 of them; a second implementation, and that with its "
        "inverses formed, by default on 500 seeds, in each of 1 other ways on 450, and in several at "
        "once, drawn by the seed, on 400: 9,991 questions; false alarms: 1. "
        "Asked on 2026-02-03, of sources that have changed since." in page
    )
    assert '<span class="red">1</span>' in page
    assert "Failed: tests/validation/proved/t.py::red" in (tmp_path / "trust.md").read_text()
    saved = json.loads((tmp_path / "trust.json").read_text())
    assert saved["levels"][0]["ratio"] == str(ratio)
    assert saved["levels"][0]["green"] is False
    assert saved["levels"][1]["ratio"] == 0.25


def test_mutants_not_yet_measured_are_named_as_such(tmp_path):
    page = write(results(everything(), [], None, None, "ci"), tmp_path).read_text()
    assert "Not measured: run <code>nox -s mutants</code>." in page
    assert "Not measured: run <code>nox -s alarms</code>." in page
    assert "Not measured: run `nox -s mutants`." in (tmp_path / "trust.md").read_text()
    assert "Not measured: run `nox -s alarms`." in (tmp_path / "trust.md").read_text()


def test_the_command_fails_when_a_level_is_red_or_an_identity_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("validation.proved.proved_records", lambda: PROVED)
    numbered = [f"tests/identities/t.py::test_{i.number}_x" for i in IDENTITIES]
    named = [f"{level.tests[0]}t.py::t" for level in LEVELS]
    for outcome, names, code in (
        ("passed", [*named, *numbered], 0),
        ("failed", [*named, *numbered], 1),
        ("passed", [*named, *numbered[:-1]], 1),  # an identity that nothing shows
    ):
        lines = [{"test": name, "outcome": outcome, "seconds": 1.0} for name in names]
        evidence = tmp_path / "evidence.jsonl"
        evidence.write_text("\n".join(map(json.dumps, lines)))
        args = ["trust", "--evidence", str(evidence), "--out", str(tmp_path / "out")]
        run = CliRunner().invoke(app, args)
        assert run.exit_code == code, run.output
        assert (tmp_path / "out" / "trust.html").exists()
