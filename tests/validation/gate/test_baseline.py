"""The regression gate: nothing leaves its interval, vanishes or turns into NaN unnoticed."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from validation.gate.baseline import ROUNDING, BadBaseline, departures, figures_of, read, write

FIGURE = {
    "seed": 0,
    "reference": "exact GNH",
    "damping": 1e-3,
    "curvature": "EK-FAC",
    "statistic": "pearson",
    "value": 0.8,
    "low": 0.75,
    "high": 0.84,
}
RESULTS: dict[str, Any] = {
    "name": "toy",
    "agreement": [
        FIGURE,
        {**FIGURE, "statistic": "spearman", "value": 1.0, "low": 1.0, "high": 1.0},
        {**FIGURE, "curvature": "K-FAC", "value": None, "low": None, "high": None},
    ],
    "claims": [
        {"claim": "better", "source": "them", "value": 0.1, "low": 0.05, "high": 0.2, "more": ""}
    ],
    "responses": [{"seed": 0, "reference": "PBRF", "damping": 1e-3, "converged": [True, False]}],
    "solves": [{"seed": 0, "damping": 1e-3, "curvature": "EK-FAC", "solves": 5, "missed": 0}],
}
OLD = figures_of(RESULTS, "first")


def run(kind: str = "agreement", at: int = 0, **changes: Any) -> dict[str, Any]:
    """A new run that has something else in one record."""
    results = copy.deepcopy(RESULTS)
    results[kind][at] |= changes
    return figures_of(results, "a new run")


def test_the_same_run_departs_in_nothing() -> None:
    assert departures(OLD, run()) == []


@pytest.mark.parametrize(
    ("kind", "at", "low", "high"),
    [("agreement", 0, 0.75, 0.84), ("agreement", 1, 1.0, 1.0), ("claims", 0, 0.05, 0.2)],
)
def test_a_value_just_inside_passes_and_one_just_outside_fails(
    kind: str, at: int, low: float, high: float
) -> None:
    for inside in (low - 0.9 * ROUNDING, low, high, high + 0.9 * ROUNDING):
        assert departures(OLD, run(kind, at, value=inside)) == []
    for outside in (low - 1.1 * ROUNDING, high + 1.1 * ROUNDING):
        (departure,) = departures(OLD, run(kind, at, value=outside))
        assert departure.fails
        assert departure.value == outside
        assert (departure.low, departure.high) == pytest.approx((low - ROUNDING, high + ROUNDING))


def test_a_failure_is_named_by_study_reference_damping_curvature_and_statistic() -> None:
    (departure,) = departures(OLD, run(value=0.5))
    assert departure.study == "toy"
    assert departure.figure == (
        "agreement",
        "seed 0",
        "reference exact GNH",
        "damping 0.001",
        "curvature EK-FAC",
        "statistic pearson",
    )
    assert departure.reason == "left its interval"


@pytest.mark.parametrize(
    ("kind", "changes", "value"),
    [("responses", {"converged": [False, False]}, 2), ("solves", {"missed": 1}, 1)],
)
def test_a_count_of_what_did_not_converge_must_stay(
    kind: str, changes: dict[str, Any], value: int
) -> None:
    (departure,) = departures(OLD, run(kind, **changes))
    assert departure.fails
    assert departure.value == value


@pytest.mark.parametrize("kind", ["agreement", "claims", "responses", "solves"])
def test_a_missing_figure_fails_and_a_new_one_is_named(kind: str) -> None:
    fewer = copy.deepcopy(RESULTS)
    gone = fewer[kind].pop(0)
    (departure,) = departures(OLD, figures_of(fewer, "x"))
    assert (departure.reason, departure.fails) == ("missing", True)
    assert kind in departure.figure
    more = copy.deepcopy(RESULTS)
    more[kind].append(gone | {name: 7 for name in ("seed",) if "seed" in gone} | {"source": "us"})
    (departure,) = departures(OLD, figures_of(more, "x"))
    assert (departure.reason, departure.fails) == ("new", False)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_is_no_number_never_passes_for_one(nothing: float | None) -> None:
    (departure,) = departures(OLD, run(value=nothing))
    assert departure.fails
    assert departure.reason == "no longer a number"
    assert departures(OLD, run(at=2, value=nothing)) == []
    (departure,) = departures(OLD, run(at=2, value=0.3))
    assert departure.fails
    assert departure.reason == "was no number"


def test_an_interval_that_is_no_number_is_the_value_itself() -> None:
    old = run(low=math.nan, high=None)
    assert departures(old, run()) == []
    assert len(departures(old, run(value=0.81))) == 1


def test_only_the_agreement_must_be_there() -> None:
    bare = figures_of({"name": "bare", "agreement": [FIGURE]}, "first")
    assert departures(bare, bare) == []
    with pytest.raises(KeyError):
        figures_of({"name": "none"}, "first")


def test_two_figures_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two records are both agreement, seed 0, reference"):
        figures_of({"name": "twice", "agreement": [FIGURE, FIGURE]}, "first")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_baseline_needs_a_reason(reason: str) -> None:
    with pytest.raises(ValueError, match="changes for a reason"):
        figures_of(RESULTS, reason)


def test_a_baseline_round_trips_with_reason_date_and_versions(tmp_path: Path) -> None:
    write(tmp_path / "toy.json", OLD)
    assert read(tmp_path / "toy.json") == OLD
    assert OLD["reason"] == "first"
    assert len(OLD["date"]) == len("2026-01-31")
    assert {"python", "torch", "numpy", "scipy", "threads"} <= set(OLD["versions"])
    lines = (tmp_path / "toy.json").read_text().splitlines()
    assert sum(line.startswith('{"seed"') for line in lines) == 5  # one record a line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "format is 0"),
        ({"reason": ""}, "'reason' is missing or empty"),
        ({"versions": None}, "'versions' is missing or empty"),
        ({"solves": None}, "'solves' is no list"),
        ({"agreement": [{"seed": 0}]}, "a record of 'agreement' is"),
        ({"agreement": [FIGURE | {"value": "1"}]}, "'value' of .* is no number"),
        ({"agreement": [FIGURE | {"low": True}]}, "'low' of .* is no number"),
    ],
)
def test_a_baseline_is_checked_when_it_is_read(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "toy.json").write_text(json.dumps(OLD | change))
    with pytest.raises(BadBaseline, match=f"{message}.*--update --reason"):
        read(tmp_path / "toy.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": NaN}'])
def test_what_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(BadBaseline, match=r"no strict JSON|it is no object"):
        read(tmp_path / "toy.json")
    with pytest.raises(BadBaseline, match=r"no baseline .*absent\.json"):
        read(tmp_path / "absent.json")
