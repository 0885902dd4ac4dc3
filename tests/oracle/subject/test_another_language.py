"""The program of docs/another-language.md is right, and a mistake in it is found and named."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from refimpl.cli.main import app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "another-language.md"
PROGRAM = ROOT / "docs" / "examples" / "solve.pl"


def checked(program: Path) -> Result:
    asked = ["check", "--exec", f"perl {program}", "--stage", "solve", "--jobs", "1"]
    return CliRunner().invoke(app, [*asked, "--quick", "--draws", "3"], env={"COLUMNS": "200"})


def test_the_program_of_the_docs_is_right() -> None:
    (command,) = re.findall(r"refimpl check --exec \"perl (\S+)\" --stage solve", DOCS.read_text())
    assert ROOT / command == PROGRAM
    found = checked(PROGRAM)
    assert found.exit_code == 0, found.output
    questions, passed = re.findall(r"(\d+) questions: (\d+) pass", found.output)[0]
    assert int(questions) == int(passed) > 100


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("+ $damping for", "+ 2 * $damping for", "the damping is added twice"),
        ("$X->[$_] /=", "$X->[$_] *=", "multiplied by the curvature, not divided"),
        ("turned($Q_S, $O, $O)", "$Q_S", "rotation by Q_S into the eigenbasis is transposed"),
        (
            "turned($Q_A, $I, $I)",
            "$Q_A",
            "rotation by Q_A back out of the eigenbasis is transposed",
        ),
    ],
)
def test_a_mistake_in_it_is_found(tmp_path: Path, right: str, wrong: str, named: str) -> None:
    text = PROGRAM.read_text()
    assert text.count(right) == 1
    broken = tmp_path / "broken.pl"
    broken.write_text(text.replace(right, wrong))
    found = checked(broken)
    assert found.exit_code == 1
    arrows = [line for line in found.output.splitlines() if "→" in line]
    assert any(named in line for line in arrows), found.output
