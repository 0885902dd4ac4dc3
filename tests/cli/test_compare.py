"""refimpl compare on the command line: the example of the docs, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from refimpl.cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "compare.md"


def test_the_command_of_the_docs_prints_what_they_say(tmp_path, monkeypatch):
    text = DOCS.read_text(encoding="utf-8")
    (command,) = re.findall(r"^    refimpl (compare .*)$", text, re.MULTILINE)
    scores = np.random.default_rng(0).normal(size=(10, 30)).astype(np.float32)
    save_file({"scores": scores}, tmp_path / "theirs.safetensors")
    np.save(tmp_path / "mine.npy", scores / np.float32(1000))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0
    said = re.findall(r"^    (A .*)$", text, re.MULTILINE)
    assert result.stdout.splitlines() == said


@pytest.mark.parametrize(
    ("text", "said"), [(None, "there is no file"), ([[np.nan]], "NaN or infinite")]
)
def test_what_cannot_be_compared_is_refused(tmp_path, text, said):
    path = tmp_path / "a.npy"
    if text is not None:
        np.save(path, np.array(text))
    result = CliRunner().invoke(app, ["compare", str(path), str(path)], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert said in result.output


def test_it_works_without_the_oracles_extra(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    start = (
        "import sys\n"
        "for name in ('safetensors', 'hypothesis', 'jinja2', 'jsonschema'): sys.modules[name] = None\n"
        "from refimpl.cli.main import app; app()"
    )
    command = [sys.executable, "-c", start, "compare", "a.npy", "a.npy"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(DOCS.parents[1])},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("A equals B")
