"""The studies of tables and of convolutions, made small, from the command line to the page."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from refimpl import report
from refimpl.rungs.curvatures import TOP, TRUTH
from validation.__main__ import app
from validation.experiments.mislabelled import FLIPPED, LOSS
from validation.experiments.removals import RANDOM, REMOVAL
from validation.literature.references import HALVES, NEAR, PBRF, SCRATCH, WARM
from validation.studies import STUDIES


@pytest.mark.usefixtures("smaller")
@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "digits_cnn"])
def test_a_quick_run_measures_every_rung_every_outcome_and_every_use(
    name: str, tmp_path: Path
) -> None:
    seeds = (0, 1) if name == "diabetes" else (0,)  # the least of them, on a page of two seeds
    listed = ",".join(map(str, seeds))
    arguments = ["report", name, "--quick", "--seeds", listed, "--out", str(tmp_path)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    results = report.read(tmp_path / name)
    assert results["provenance"]["seeds"] == ", ".join(map(str, seeds))
    by_seed = [[f["value"] for f in results["agreement"] if f["seed"] == s] for s in seeds]
    assert len({len(values) for values in by_seed}) == 1
    assert len({*map(tuple, by_seed)}) == len(seeds), "two seeds gave the same numbers"
    measured = {(f["reference"], f["curvature"]) for f in results["agreement"]}
    for reference in (TRUTH, TOP, PBRF, "PBRF +1/N", WARM, NEAR):
        assert (reference, "EK-FAC") in measured
    config = {**STUDIES[name].config, **STUDIES[name].quick}
    uses = {FLIPPED: LOSS, REMOVAL: RANDOM}
    asked = {FLIPPED: "mislabelled" in config, REMOVAL: "removal" in config}
    for reference, baseline in uses.items():
        assert ((reference, baseline) in measured) == asked[reference]
        assert ((reference, TRUTH) in measured) == asked[reference]
    rows = {c["name"] for c in results["curvatures"]}
    assert {curvature for _, curvature in measured} <= rows
    assert {reference for reference, _ in measured} <= {r["name"] for r in results["references"]}
    statistics = {s["name"] for s in results["statistics"]}
    assert {f["statistic"] for f in results["agreement"]} <= statistics
    responses = {r["reference"] for r in results["responses"]}
    # At its one damping, below the weight decay, the warm start is near enough: no retraining besides.
    assert responses >= {SCRATCH, WARM, HALVES, PBRF}
    text = (tmp_path / name / "report.html").read_text()
    for heading in ("Against what really happens: retraining", "the linear datamodelling score"):
        assert heading.lower() in text.lower()
    literature = report.read(tmp_path / "literature")
    assert any("Frobenius" in c["claim"] for c in literature["claims"])


@pytest.mark.parametrize("name", ["digits", "diabetes", "breast_cancer", "digits_cnn", "text"])
def test_conclusions_rest_on_three_seeds_and_four_dampings(name: str) -> None:
    study = STUDIES[name]
    assert len(set(study.seeds)) >= 3
    assert len(set(study.config["dampings"])) >= 4
