"""The examples of docs/check-your-implementation.md are right, and its commands exist."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refimpl.cli.main import app
from refimpl.oracle.question.conventions import records

DOCS = (Path(__file__).parents[3] / "docs" / "check-your-implementation.md").read_text("utf-8")
MODULE, IN_TORCH = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
(DEVIATIONS,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs_adapter.py").write_text(MODULE)
    return tmp_path


def test_the_adapter_of_the_docs_is_right(here: Path) -> None:
    asked = ["docs_adapter.py:MyLibrary", "--in-process", "--stage", "gradients"]
    written = ["--json", "r.jsonl", "--html", "r.html", "--junit", "r.xml", "--badge", "b.svg"]
    found = CliRunner().invoke(app, ["check", *asked, "--case", "[mt][lo]*/*-*", *written])
    assert found.exit_code == 0, found.output
    assert "mylib 1.2" in (here / "r.html").read_text("utf-8")
    assert all((here / name).exists() for name in ("r.jsonl", "r.xml", "b.svg"))


def test_smoke_finds_it_well_written(here: Path) -> None:
    found = CliRunner().invoke(app, ["smoke", "docs_adapter.py:MyLibrary", "--in-process"])
    assert found.exit_code == 0, found.output
    assert "The adapter is written right" in found.output


def test_the_adapter_in_torch_is_right(here: Path) -> None:
    (here / "docs_in_torch.py").write_text(IN_TORCH)
    asked = ["docs_in_torch.py:InTorch", "--in-process", "--check", "gradients-equal"]
    result = CliRunner().invoke(app, ["check", *asked, "--quick"])
    assert result.exit_code == 0, result.output


def test_every_check_is_explained() -> None:
    listed = CliRunner().invoke(app, ["explain"], env={"COLUMNS": "200"})
    assert "gradients-equal" in listed.output
    one = CliRunner().invoke(app, ["explain", "factors-sampled-seed"]).output
    for said in (
        "equation",
        "margins",
        "honest 0, faulty infinite",
        "planted faults: ",
        "seed-ignored",
    ):
        assert said in one
    unknown = CliRunner().invoke(app, ["explain", "gradient-equal"], env={"COLUMNS": "200"})
    assert unknown.exit_code == 2
    assert "near it: gradients-equal" in unknown.output


def test_every_convention_that_may_be_declared_is_in_the_docs_with_its_choices() -> None:
    page = (Path(__file__).parents[3] / "docs" / "conventions.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    for name, record in records().items():
        assert tuple(re.findall(r'`"(.+?)"`', rows[name])) == record.values


def test_the_deviations_of_the_docs_can_be_read() -> None:
    from refimpl.oracle.results.deviations import Deviation

    (entry,) = tomllib.loads(DEVIATIONS)["deviation"]
    assert Deviation(**entry).covers("tokens/pooled::factors::factor-a-equal::isolated")
