"""The command line, as a stranger with a module of their own calls it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refimpl.cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "ladder.md"
MODULE = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]


def test_the_command_of_the_docs_writes_a_page(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text(MODULE)
    (command,) = re.findall(r"^    refimpl (ladder my_module.*)$", DOCS.read_text(), re.MULTILINE)
    # In a process of its own, with nothing of the tests imported: as from the console script.
    start = "from refimpl.cli.main import app; app()"
    ran = subprocess.run(
        [sys.executable, "-c", start, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    assert ran.stdout == "report: ladder/report.html\n"
    results = json.loads((tmp_path / "ladder" / "results.json").read_text())
    assert results["headline"]["damping"] == 1e-1
    assert {f["damping"] for f in results["agreement"]} == {1e-1, 1e-3}
    assert {len(r["converged"]) for r in results["responses"]} == {10}
    assert "What each step down the ladder costs" in (tmp_path / "ladder/report.html").read_text()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("my_module", "", "MODULE:FUNCTION"),
        ("nowhere_to_be_found:make", "", "there is no module 'nowhere_to_be_found'"),
        ("nowhere.py:make", "", "there is no file nowhere.py"),
        ("mine.py:other", "make = 1", "has no 'other'"),
        ("mine.py:make", "def make(): return 1", "must return"),
    ],
)
def test_what_makes_no_problem_is_refused_with_what_was_expected(
    name: str, text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    result = CliRunner().invoke(app, ["ladder", name], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output


def test_an_error_inside_the_users_module_is_theirs_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("import not_installed_anywhere")
    result = CliRunner().invoke(app, ["ladder", "mine.py:make"])
    assert isinstance(result.exception, ModuleNotFoundError)
    assert result.exception.name == "not_installed_anywhere"


def test_options_that_do_not_fit_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODULE)
    options = ["ladder", "mine.py:make_problem", "--damping", "0"]
    result = CliRunner().invoke(app, options, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "different dampings > 0" in result.output
