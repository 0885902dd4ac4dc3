"""A new study is one new file, found by its place."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from refimpl import report
from validation import __main__ as command, studies

TINY = '''
"""Diabetes again, with next to nothing of it."""

import sys
from functools import partial

from validation.experiments import ladder
from validation.parts.study import Part, Study
from validation.studies import diabetes
from validation.training import recipes

CONFIG = {
    "train": 20, "queries": 4, "sizes": [10, 1], "activation": "tanh", "weight_decay": 0.1,
    "iterations": 20, "newton": 0, "dampings": [0.1], "headline": 0.1, "groups": ["identity"],
    "top": 3,
}
MAKE = partial(recipes.trained_setting, diabetes.RECIPE)


def parts(config):
    return [Part("train", partial(recipes.train, diabetes.RECIPE)), *ladder.parts_of(MAKE, config)]


def results(config, found):
    page = {"name": "tiny", "title": "Tiny", "setting": "From a test.", "facts": []}
    return ladder.results(config, found) | page


STUDY = Study("tiny", sys.modules[__name__], CONFIG, {}, parts, results)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are studies, too."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(folder)])
    return folder


def test_a_file_in_the_folder_is_a_study_of_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tiny.py").write_text(TINY)
    everything = studies.find_studies()
    assert everything.keys() - studies.STUDIES.keys() == {"tiny"}
    monkeypatch.setattr(command, "STUDIES", everything)
    out = tmp_path / "reports"
    finished = CliRunner().invoke(command.app, ["report", "tiny", "--out", str(out)])
    assert finished.exit_code == 0, finished.output
    names = {f["curvature"] for f in report.read(out / "tiny")["agreement"]}
    assert {"identity", "exact GNH"} <= names
    assert "tiny/report.html" in (out / "index.html").read_text()


def test_every_file_of_the_folder_is_a_study() -> None:
    files = {file.stem for file in Path(studies.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(studies.STUDIES) == files


def test_a_study_is_called_as_its_file_is(folder: Path) -> None:
    (folder / "other.py").write_text(TINY)
    with pytest.raises(ValueError, match=r"the study of other\.py calls itself 'tiny'"):
        studies.find_studies()
