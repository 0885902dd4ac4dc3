"""The command that guards the figures: update with a reason, then pass, then fail by name."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from validation import __main__ as main
from validation.parts.study import Part, Study

FIGURE = {
    "seed": 0,
    "reference": "exact GNH",
    "damping": 1e-3,
    "curvature": "EK-FAC",
    "statistic": "pearson",
    "low": 0.75,
    "high": 0.84,
}


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """What the study `toy` finds; a test may change it."""
    result: dict[str, float | None] = {"EK-FAC": 0.8}
    module = ModuleType("toy")
    module.__file__ = str(tmp_path / "toy.py")
    (tmp_path / "toy.py").touch()

    def results(config: Any, earlier: Any) -> dict[str, Any]:
        assert config["size"] == "small", "not the quick version"
        figures = [FIGURE | {"curvature": c, "value": v} for c, v in result.items()]
        listed = [{"name": c, "family": c, "description": ""} for c in result]
        page = {"format": 1, "name": "toy", "title": "Toy", "setting": "", "curvatures": listed}
        return page | {"agreement": figures}

    parts = [Part("only", lambda config, earlier: {})]
    study = Study("toy", module, {"size": "full"}, {"size": "small"}, lambda config: parts, results)
    monkeypatch.setattr(main, "STUDIES", {"toy": study})
    monkeypatch.chdir(tmp_path)
    return result


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(main.app, ["validate", *arguments])


def test_an_update_writes_the_baseline_and_a_figure_that_leaves_it_fails_by_name(
    values: dict[str, float | None],
) -> None:
    result = invoke()
    assert result.exit_code == 1
    assert "no baseline reports/baseline/toy.json" in result.output
    assert invoke("--update", "--reason", "the first").exit_code == 0
    kept = Path("reports/baseline/toy.json")
    assert json.loads(kept.read_text())["reason"] == "the first"
    before = kept.read_bytes()
    assert invoke().exit_code == 0
    values["EK-FAC"] = 0.76
    assert invoke().exit_code == 0
    for value, said in ((0.74, "0.74"), (None, "none")):
        values["EK-FAC"] = value
        result = invoke("toy")
        assert result.exit_code == 1, result.output
        (line,) = (line for line in result.output.splitlines() if "EK-FAC" in line)
        for part in ("toy", "exact GNH", "damping 0.001", "pearson", said, "[0.749999, 0.840001]"):
            assert part in line
        assert "The baselines were computed elsewhere" not in result.output
    assert kept.read_bytes() == before, "a comparison rewrote the baseline"
    elsewhere = json.loads(before)
    elsewhere["versions"]["processor"] = "abacus"
    kept.write_text(json.dumps(elsewhere))
    result = invoke("toy")  # it fails all the same, and says what else may be the reason
    assert result.exit_code == 1
    assert "computed elsewhere: processor abacus, now" in result.output


def test_a_new_figure_is_named_and_a_vanished_one_fails(values: dict[str, float | None]) -> None:
    assert invoke("--update", "--reason", "the first").exit_code == 0
    values["K-FAC"] = 0.8
    result = invoke()
    assert result.exit_code == 0
    assert "curvature K-FAC" in result.output
    assert "1 new" in result.output
    del values["EK-FAC"]
    result = invoke()
    assert result.exit_code == 1
    assert "missing" in result.output
    result = invoke("--update", "--reason", "K-FAC for EK-FAC")
    assert result.exit_code == 0
    assert "missing" in result.output, "an update hides what it changes"
    assert invoke().exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["--update"], ["--update", "--reason", " "], ["--reason", "why"]]
)
def test_an_update_and_a_reason_need_each_other(
    arguments: list[str], values: dict[str, float | None]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "--update --reason" in result.output
    assert not Path("reports").exists()
