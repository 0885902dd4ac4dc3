"""The command line: what it refuses, and what it says when a study fails."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from validation import __main__ as main
from validation.parts.study import Part, Study


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(main.app, ["report", *arguments])


def test_an_unknown_study_is_refused_with_the_known_ones() -> None:
    result = invoke("nothing")
    assert result.exit_code == 2
    assert "no study nothing: there is breast_cancer, characters, diabetes" in " ".join(
        result.output.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("seeds", "message"), [("1,1", "a seed is given twice"), ("one", "seeds must be whole numbers")]
)
def test_bad_seeds_are_refused(seeds: str, message: str) -> None:
    result = invoke("digits", "--seeds", seeds)
    assert result.exit_code == 2
    assert message in result.output


def test_drawing_from_nothing_saved_fails_and_says_what_to_run(tmp_path: Path) -> None:
    result = invoke("digits", "--from-saved", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "run `python -m validation report digits` first" in result.output


def test_all_studies_run_by_default_and_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("toy")
    module.__file__ = str(tmp_path / "toy.py")
    (tmp_path / "toy.py").touch()

    def broken(config: Any, earlier: Any) -> Any:
        raise ZeroDivisionError("no luck")

    def bare(config: Any, result: Any) -> dict[str, Any]:
        return {
            "format": 1,
            "name": "good",
            "title": "Good",
            "setting": "",
            "curvatures": [],
            "agreement": [],
        }

    def study(name: str, work: Any) -> Study:
        return Study(name, module, {}, {}, lambda config: [Part("only", work)], bare)

    studies = {"bad": study("bad", broken), "good": study("good", lambda config, earlier: {})}
    monkeypatch.setattr(main, "STUDIES", studies)
    result = invoke("--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "study 'bad': 1 of 1 parts failed: only (seed 0)" in result.output
    assert "ZeroDivisionError: no luck" in result.output
    assert (tmp_path / "out" / "good" / "report.html").exists()
    assert not (tmp_path / "out" / "bad" / "report.html").exists()
    assert "Good" in (tmp_path / "out" / "index.html").read_text()
