"""The built wheel alone, outside the repository: the docs' adapter is checked, the plugin loads itself."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "check-your-implementation.md").read_text("utf-8")
ADAPTERS = "\n".join(re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL))
CLI = ("-c", "from refimpl.cli.main import app; app()")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel: what an installation puts on the path."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def ran(wheel: Path, here: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    found = subprocess.run(
        [sys.executable, *command],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_the_docs_work_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "my_adapter.py").write_text(ADAPTERS)
    where = ran(wheel, tmp_path, "-c", "import refimpl; print(refimpl.__file__)")
    assert where.startswith(str(wheel))
    adapter = "my_adapter:MyLibrary"
    only = ["--case", "mlp/tanh-square", "--html", "check.html", "--json", "check.jsonl"]
    said = ran(wheel, tmp_path, *CLI, "check", adapter, *only)
    assert re.search(r"gradients .* passes", said)
    assert "refimpl check" in (tmp_path / "check.html").read_text("utf-8")
    assert '"kind": "footer"' in (tmp_path / "check.jsonl").read_text("utf-8")


def test_the_plugin_is_found_by_its_entry_point(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "my_adapter.py").write_text(ADAPTERS)
    asked = ["--refimpl", "my_adapter:MyLibrary", "--refimpl-quick", "-k", "gradients-equal"]
    assert " passed" in ran(wheel, tmp_path, "-m", "pytest", "-p", "no:cacheprovider", *asked)
