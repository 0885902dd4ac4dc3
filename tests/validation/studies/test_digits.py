"""The study of handwritten digits, made small, from the command line to the page."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from refimpl import report
from refimpl.rungs.curvatures import APART, TOP, TRUTH, WIDER, rungs_of
from refimpl.rungs.outcomes import SIGNS
from validation.__main__ import app
from validation.parts.runner import InProcess
from validation.studies import digits
from validation.training import recipes


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments])


@pytest.fixture(scope="module")
def folder(smaller: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("reports")
    found = invoke("digits", "--quick", "--seeds", "0", "--out", str(out))
    assert found.exit_code == 0, found.output
    assert f"report: {out}/digits/report.html" in found.output
    return out


def test_the_page_the_summary_the_data_and_the_index_are_there(folder: Path) -> None:
    results = report.read(folder / "digits")
    names = {p.name for p in (folder / "digits").iterdir()} - {"parts", ".lock"}
    assert names == {"report.html", "results.json", "summary.md"}
    assert (folder / "digits" / "report.html").read_text() == report.page(results)
    assert "digits/report.html" in (folder / "index.html").read_text()


def test_every_curvature_damping_and_reference_is_measured(folder: Path) -> None:
    figures = report.read(folder / "digits")["agreement"]
    wanted = {
        (reference, damping, entry.name, "pearson")
        for reference in (TRUTH, TOP, *SIGNS)
        for damping in digits.QUICK["dampings"]
        for entry in rungs_of(digits.CONFIG["groups"])
        if entry.name not in (reference, APART, WIDER)
    }
    keys = ("reference", "damping", "curvature", "statistic")
    assert wanted <= {tuple(f[k] for k in keys) for f in figures}
    errors = ("ihvp_error", "change_error", "operator_frobenius", "operator_spectral", "rise")
    agreements = [f["value"] for f in figures if not f["statistic"].startswith(errors)]
    assert all(value is None or abs(value) <= 1 for value in agreements)


def test_provenance_names_what_made_it(folder: Path) -> None:
    provenance = report.read(folder / "digits")["provenance"]
    assert provenance["seeds"] == "0"
    assert {"python", "torch", "numpy", "scipy"} <= set(provenance["libraries"])
    assert provenance["configuration"]["train"] == str(digits.QUICK["train"])
    assert set(provenance["time by part"]) == {p.name for p in digits.STUDY.parts(quick())}


def test_a_rerun_computes_nothing_and_saved_results_redraw_the_same_page(folder: Path) -> None:
    before = {p: p.read_bytes() for p in (folder / "digits").glob("*.*") if p.is_file()}
    arguments = ("digits", "--quick", "--seeds", "0", "--out", str(folder))
    again = invoke(*arguments)
    assert re.search(r"digits: (\d+) of \1 parts found saved", again.output)
    (folder / "digits" / "report.html").unlink()
    redrawn = invoke(*arguments, "--from-saved")
    assert redrawn.exit_code == 0
    assert {p: p.read_bytes() for p in before} == before


def test_processes_that_share_the_parts_find_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    arguments = ("--quick", "--seeds", "0", "--workers", "2", "--out", str(tmp_path))
    found = invoke("digits", *arguments)
    assert found.exit_code == 0, found.output
    ours, theirs = (report.read(f / "digits") for f in (tmp_path, folder))
    for name in ("agreement", "contrasts", "responses"):
        assert ours[name] == theirs[name]


def test_the_claims_of_the_walk_through_stand_beside_our_numbers(folder: Path) -> None:
    results = report.read(folder / "digits")
    claims = {claim["claim"]: claim for claim in results["claims"]}
    assert len(claims) == 3
    (top,) = (t for t in results["top_examples"][:2] if t["group"] == "most helpful")
    sloppier = claims[
        "Influential training digits are sloppier and less clear than the average one"
    ]
    assert [sloppier[end] for end in ("value", "low", "high")] == top["loss_percentile"]
    assert sloppier["verdict"] == ("confirmed" if sloppier["low"] > 50 else "undecided")


def test_results_are_strict_json(folder: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((folder / "digits" / "results.json").read_text(), parse_constant=refuse)


def test_training_reports_where_it_ended() -> None:
    part = digits.STUDY.parts(quick())[0]
    values, arrays = InProcess().submit(part.work, quick() | {"seed": 0}, {}).result()
    assert values["train_quality"] > 0.9
    assert values["gradient_norm"] < 1e-2 * values["initial_gradient_norm"]
    assert values["parameters"] == 64 * 6 + 6 + 6 * 10 + 10 == sum(a.size for a in arrays.values())


def test_the_setting_is_the_trained_model() -> None:
    config = quick() | {"seed": 0}
    values, arrays = recipes.train(digits.RECIPE, config, {})
    at = recipes.trained_setting(digits.RECIPE, config, {"train": digits_result(values, arrays)})
    assert float(at.problem.losses().mean()) == values["train_loss"]
    assert len(at.query_targets) == config["queries"]


def test_the_full_study_has_the_sizes_that_it_promises() -> None:
    config = digits.CONFIG
    assert (config["train"], config["queries"], config["sizes"]) == (1000, 200, [64, 32, 10])
    assert config["dampings"] == [1e-1, 1e-2, 1e-3, 1e-4]
    assert config["examples"] >= 200


def quick() -> dict[str, object]:
    return {**digits.CONFIG, **digits.QUICK}


def digits_result(values: dict[str, object], arrays: dict[str, object]) -> object:
    from validation.parts.saved import Result as Saved

    return Saved(values, arrays)  # type: ignore[arg-type]
