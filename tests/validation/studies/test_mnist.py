"""The MNIST study, made small: on the user's files, and on digits drawn larger."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from refimpl import report
from refimpl.rungs.curvatures import LADDER
from validation.__main__ import app
from validation.data import MNIST_FILES

pytestmark = pytest.mark.usefixtures("smaller")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", "mnist", "--quick", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """MNIST's four files, made of noise around ten patterns."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    random = np.random.RandomState(0)
    patterns = random.randint(0, 200, (10, 28, 28))
    for name in MNIST_FILES:
        count = 200 if "train" in name else 40
        labels = np.arange(count) % 10
        if "labels" in name:
            head, entries = (0x801, count), labels
        else:
            noise = random.randint(0, 55, (count, 28, 28))
            head, entries = (0x803, count, 28, 28), patterns[labels] + noise
        content = np.array(head, ">u4").tobytes() + entries.astype(np.uint8).tobytes()
        (folder / name).write_bytes(content)
    return folder


def test_the_users_files_are_studied(folder: Path, tmp_path: Path) -> None:
    found = invoke("--mnist", str(folder), "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output
    results = report.read(tmp_path / "out" / "mnist")
    assert "MNIST's handwritten digits" in results["setting"]
    images = results["gallery"]["queries"]
    assert all(len(q["image"]) == 28 for q in images)
    assert results["ladder"] == list(LADDER)
    assert not any(r["kind"] == "outcome" for r in results["references"])


def test_without_them_it_says_what_it_took_instead(tmp_path: Path) -> None:
    found = invoke("--out", str(tmp_path))
    assert found.exit_code == 0, found.output
    assert report.read(tmp_path / "mnist")["setting"].startswith("No MNIST was given")


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / MNIST_FILES[2]).unlink()
    found = invoke("--mnist", str(folder), "--out", str(tmp_path / "out"))
    assert found.exit_code == 1
    assert MNIST_FILES[2] in found.output
