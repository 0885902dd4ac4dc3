"""Findings: each has its reproduction, and a stage is judged by what they explain."""

import ast
from pathlib import Path

import pytest

import validation.peers
from validation.peers.findings import Finding, read, verdicts
from validation.peers.requirements import libraries

FOLDER = Path(validation.peers.__file__).parent / "reproductions"
SCRIPTS = sorted(FOLDER.glob("*/*.py"))
ROWS = Finding("lib", "rows", "rows", ("Lib::mlp/*::solve",), "")


def adapter(*outcomes, stages=("solve",), distances=None):
    plain = [
        {"case": c, "stage": s, "check": "equal", "mode": "isolated", "verdict": v, "detail": "off"}
        for c, s, v in outcomes
    ]
    return {"name": "Lib", "stages": list(stages), "outcomes": plain, "distances": distances or {}}


def said(*outcomes, shown=(ROWS,), **options):
    return verdicts(adapter(*outcomes, **options), shown)["solve"]


def test_every_finding_has_a_reproduction_and_every_reproduction_a_finding():
    assert {(f.library, f.slug) for f in read()} == {(p.parent.name, p.stem) for p in SCRIPTS}
    assert {f.library for f in read()} <= set(libraries())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_reproduction_stands_alone_and_says_what_it_shows(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {"torch", "numpy", "tempfile", "warnings", script.parent.name}
    assert ast.get_docstring(tree)
    assert "raise SystemExit(" in ast.unparse(tree)


def test_nothing_wrong_conforms():
    assert said(("mlp/a", "solve", "pass"), ("mlp/b", "solve", "unsupported"))["verdict"] == (
        "conforms"
    )


def test_a_fail_that_a_finding_explains_deviates():
    stage = said(("mlp/a", "solve", "fail"), ("mlp/b", "solve", "pass"))
    assert stage["verdict"] == "deviates"
    assert stage["findings"] == ["rows"]
    assert stage["unexplained"] == []
    assert stage["counts"] == {"fail": 1, "pass": 1}


def test_one_fail_that_no_finding_explains_is_said_so():
    stage = said(("mlp/a", "solve", "fail"), ("tokens/a", "solve", "error"))
    assert stage["verdict"] == "unexplained"
    assert stage["unexplained"] == ["tokens/a::equal::isolated: off"]


def test_a_finding_that_its_reproduction_does_not_show_explains_nothing():
    assert said(("mlp/a", "solve", "fail"), shown=())["verdict"] == "unexplained"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([("mlp/a", "solve", "unsupported")], "not claimed"),
        ([("mlp/a", "solve", "indeterminate")], "undecided"),
        ([], "undecided"),
    ],
)
def test_nothing_judged_is_no_praise(outcomes, verdict):
    assert said(*outcomes)["verdict"] == verdict


def test_relative_errors_are_told_apart_by_where_it_fails():
    stage = said(
        ("mlp/a", "solve", "fail"),
        ("mlp/b", "solve", "pass"),
        ("mlp/c", "solve", "pass"),
        distances={
            "mlp/a": {"solve": 0.7},
            "mlp/b": {"solve": 1e-16},
            "mlp/c": {"solve": 3e-15},
            "mlp/d": {"solve": "Unsupported: no"},
        },
    )
    assert stage["right"] == {"case": "mlp/c", "error": 3e-15, "cases": 2}
    assert stage["wrong"] == {"case": "mlp/a", "error": 0.7, "cases": 1}
