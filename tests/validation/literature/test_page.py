"""The claims of the literature: the right figures, the right sides, no row without a figure."""

import json
from pathlib import Path
from typing import Any

import pytest

from refimpl import report
from refimpl.rungs.curvatures import TRUTH
from validation.literature.page import claims_page, write
from validation.literature.references import HALVES, PBRF, SCRATCH


def study(**records: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "name": "toy",
        "title": "A toy",
        "setting": "None.",
        "curvatures": [],
        "agreement": [],
        "contrasts": [],
        "provenance": {},
        "headline": {"damping": 1e-3},
    } | records


def contrast(reference: str, first: str, second: str, low: float, high: float) -> dict[str, Any]:
    return {
        "seed": 0,
        "reference": reference,
        "damping": 1e-3,
        "statistic": "pearson",
        "first": first,
        "second": second,
        "value": (low + high) / 2,
        "low": low,
        "high": high,
    }


def figure(
    curvature: str, reference: str, statistic: str, value: float, **more: Any
) -> dict[str, Any]:
    return {
        "seed": 0,
        "reference": reference,
        "damping": 1e-3,
        "curvature": curvature,
        "statistic": statistic,
        "value": value,
        "low": value,
        "high": value,
    } | more


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    return claims_page({"toy": results})["claims"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.09, 0.09, "confirmed"),
        (-0.3, -0.11, "not confirmed"),
        (-0.2, 0.0, "undecided"),
        (0.11, 0.2, "not confirmed"),
    ],
)
def test_alike_means_within_a_margin(low: float, high: float, verdict: str) -> None:
    (row,) = rows(study(contrasts=[contrast("PBRF +1/N", "EK-FAC", "LiSSA", low, high)]))
    assert row["verdict"] == verdict
    assert "Grosse" in row["source"]


@pytest.mark.parametrize(
    "names", [("PBRF +1/N", "EK-FAC", "identity"), (f"{TRUTH} against outcomes", PBRF, SCRATCH)]
)
def test_better_means_that_the_paired_difference_is_above_zero(names: tuple[str, str, str]) -> None:
    for low, high, verdict in (
        (0.1, 0.2, "confirmed"),
        (-0.1, 0.2, "undecided"),
        (-0.2, -0.1, "not confirmed"),
    ):
        (row,) = rows(study(contrasts=[contrast(*names, low, high)]))
        assert row["verdict"] == verdict


def test_nearer_always_means_at_every_seed() -> None:
    frobenius = [
        figure(name, TRUTH, "operator_frobenius", value, seed=seed)
        for seed, ekfac, kfac in ((0, 0.5, 1.0), (1, 0.9, 1.0))
        for name, value in (("EK-FAC", ekfac), ("K-FAC", kfac))
    ]
    (row,) = rows(study(agreement=frobenius))
    assert row["verdict"] == "confirmed"
    assert "nearer at 2 of 2 seeds" in row["measured"]
    assert (row["low"], row["high"]) == (0.5, 0.9)
    (row,) = rows(study(agreement=[*frobenius[:3], frobenius[3] | {"value": 0.8}]))
    assert row["verdict"] == "undecided"


@pytest.mark.parametrize(("turned", "verdict"), [(1, "confirmed"), (-1, "not confirmed")])
def test_small_errors_should_go_with_high_scores(turned: int, verdict: str) -> None:
    figures = []
    for k, name in enumerate("abcde"):
        figures.append(figure(name, TRUTH, "ihvp_error", 0.1 * k))
        figures.append(figure(name, HALVES, "spearman", -0.2 * turned * k))
    (row,) = rows(study(agreement=figures))
    assert row["value"] == pytest.approx(turned)
    assert row["verdict"] == verdict
    assert rows(study(agreement=figures[:8])) == []  # of four curvatures nothing is said


def test_the_step_that_loses_more_is_named() -> None:
    basis = contrast(TRUTH, "EK-FAC", "block-diagonal GNH", -0.02, -0.01)
    values = contrast(TRUTH, "K-FAC", "EK-FAC", -0.3, -0.1)
    (row,) = rows(study(contrasts=[basis, values]))
    assert row["verdict"] == "confirmed"
    assert (row["low"], row["high"]) == (pytest.approx(0.08), pytest.approx(0.29))
    basis, values = basis | {"low": -0.5, "value": -0.45, "high": -0.4}, values
    assert rows(study(contrasts=[basis, values]))[0]["verdict"] == "not confirmed"


def test_the_page_stands_beside_those_that_it_reads(tmp_path: Path) -> None:
    assert write(tmp_path) is None
    results = study(
        agreement=[figure("EK-FAC", TRUTH, "pearson", 0.9)],
        contrasts=[contrast("PBRF +1/N", "EK-FAC", "LiSSA", 0.0, 0.01)],
    )
    report.write(results, tmp_path / "toy")  # type: ignore[arg-type]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text(json.dumps(results | {"format": 0}))
    for _ in range(2):  # nor does it read itself
        path = write(tmp_path)
        assert path == tmp_path / "literature" / "report.html"
        assert "about as well as LiSSA" in path.read_text()
        assert len(report.read(tmp_path / "literature")["claims"]) == 1  # type: ignore[typeddict-item]
    report.write_index(tmp_path)
    assert "What the literature claims" in (tmp_path / "index.html").read_text()
