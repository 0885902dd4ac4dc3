"""Looking figures up in results."""

from typing import Any

from refimpl.report.lookup import Cell, across_seeds, cell, contrast, dampings, narrowed


def test_a_cell_is_one_figure_with_its_interval(results: Any) -> None:
    assert cell(results, "truth", 1e-3, "fine", "pearson") == Cell(0.7, 0.69, 0.71)
    assert cell(results, "truth", 1e-3, "fine", "spearman") is None


def test_seeds_are_averaged_and_their_intervals_joined(results: Any) -> None:
    other = dict(results["agreement"][7], seed=1, value=0.8, low=0.75, high=0.85)
    results["agreement"].append(other)
    figure = cell(results, "truth", 1e-3, "fine", "pearson")
    assert figure is not None
    assert (round(figure.value, 12), figure.low, figure.high, figure.seeds) == (0.75, 0.69, 0.85, 2)


def test_a_figure_without_value_is_left_out_and_one_without_interval_is_a_point() -> None:
    nothing = {"value": None, "low": None, "high": None}
    assert across_seeds([nothing]) is None
    assert across_seeds([nothing, {"value": 0.5, "low": None, "high": None}]) == Cell(0.5, 0.5, 0.5)


def test_contrasts_are_found_by_their_order(results: Any) -> None:
    figure = contrast(results, "truth", 1e-1, "coarse", "fine", "pearson")
    assert figure is not None
    assert figure.high == -0.04
    assert contrast(results, "truth", 1e-1, "fine", "coarse", "pearson") is None


def test_dampings_come_largest_first(results: Any) -> None:
    assert dampings(results) == [1e-1, 1e-3]


def test_cells_overlap_when_their_intervals_share_a_point() -> None:
    a, b, c = Cell(1.0, 0.0, 2.0), Cell(3.0, 2.0, 4.0), Cell(6.0, 5.0, 7.0)
    assert a.overlaps(b)
    assert b.overlaps(a)
    assert not a.overlaps(c)
    assert Cell(0.0, -9.0, 9.0).overlaps(a)


def test_narrowed_results_hold_the_figures_asked_for_and_all_else(results: Any) -> None:
    few = narrowed(results, reference="truth", damping=1e-3)
    assert few["agreement"]
    assert all((f["reference"], f["damping"]) == ("truth", 1e-3) for f in few["agreement"])
    assert cell(few, "truth", 1e-3, "fine", "pearson") == cell(
        results, "truth", 1e-3, "fine", "pearson"
    )
    assert cell(few, "truth", 1e-1, "fine", "pearson") is None
    assert {k: v for k, v in few.items() if k != "agreement"} == {
        k: v for k, v in results.items() if k != "agreement"
    }
