"""The README's example runs, and the commands of the docs are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_python_block_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.startswith("Pearson 0.")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("sequences", "0.weight"),
        ("ladder", "EK-FAC -> K-FAC"),
        ("compare", "factor ('-1/N',) A = B.T[rows] * (-1/N)"),
    ],
)
def test_the_examples_of_the_docs_run(page, said, capsys):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert said in capsys.readouterr().out


def test_ci_calls_the_commands_of_the_readme():
    install, check = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-2:]
    assert install.replace(" --quiet", "") in README
    assert check in README


def test_every_nox_session_of_the_docs_exists():
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {f.name for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)} - {"install"}
    docs = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for call in re.findall(r"nox -s ([a-z ]+)", docs) for name in call.split()}
    assert {"tests", "report"} <= named <= sessions
