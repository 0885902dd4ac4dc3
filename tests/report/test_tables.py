"""Tables: which figures are called best and worst, and who competes."""

from typing import Any

from refimpl.report.tables import agreement_table, claims_markdown, markdown, step_table


def widen(results: Any, margin: float) -> None:
    for figure in results["agreement"]:
        figure |= {"low": figure["value"] - margin, "high": figure["value"] + margin}


def marks(results: Any, reference: str, column: int = 0) -> dict[str, str]:
    table = agreement_table(results, reference, 1e-3)
    return {row.name: row.entries[column].mark for row in table.rows}


def test_best_and_worst_where_the_intervals_tell_them_apart(results: Any) -> None:
    assert marks(results, "truth") == {"fine": "best", "coarse": "worst"}


def test_of_an_error_the_lowest_is_best(results: Any) -> None:
    assert marks(results, "truth", column=1) == {"fine": "best", "coarse": "worst"}
    for figure in results["agreement"]:
        if figure["statistic"] == "error" and figure["curvature"] == "fine":
            figure |= {"value": 0.9, "low": 0.89, "high": 0.91}
    assert marks(results, "truth", column=1) == {"fine": "worst", "coarse": "best"}


def test_nothing_is_marked_where_the_intervals_do_not_tell(results: Any) -> None:
    widen(results, 0.3)
    assert marks(results, "truth") == {"fine": "", "coarse": ""}


def test_all_that_meet_the_best_interval_are_best(results: Any) -> None:
    third = {"name": "third", "family": "third", "description": ""}
    fourth = {"name": "fourth", "family": "fourth", "description": ""}
    results["curvatures"] += [third, fourth]
    like = results["agreement"][7]
    results["agreement"] += [
        dict(like, curvature="third", value=0.69, low=0.68, high=0.70),
        dict(like, curvature="fourth", value=0.2, low=0.19, high=0.21),
    ]
    assert marks(results, "truth") == {
        "fine": "best",
        "third": "best",
        "coarse": "",
        "fourth": "worst",
    }


def test_the_truth_stands_aside(results: Any) -> None:
    table = agreement_table(results, "up", 1e-3)
    assert {row.name: row.aside for row in table.rows} == {
        "truth": True,
        "fine": False,
        "coarse": False,
    }
    assert marks(results, "up") == {"truth": "", "fine": "best", "coarse": "worst"}


def test_statistics_that_were_not_measured_have_no_column(results: Any) -> None:
    table = agreement_table(results, "up", 1e-3)
    assert [s["name"] for s in table.columns] == ["pearson"]


def test_a_missing_figure_is_a_dash(results: Any) -> None:
    results["agreement"] = [
        f
        for f in results["agreement"]
        if (f["curvature"], f["statistic"], f["damping"]) != ("coarse", "error", 1e-3)
    ]
    table = agreement_table(results, "truth", 1e-3)
    assert table.rows[1].entries[1].value == "–"


def test_markdown_has_every_figure_and_the_best_in_bold(results: Any) -> None:
    lines = markdown(agreement_table(results, "truth", 1e-3)).splitlines()
    assert lines == [
        "| curvature | Pearson r | error |",
        "| --- | ---: | ---: |",
        "| fine | **0.700** [0.690 … 0.710] | **0.100** [0.090 … 0.110] |",
        "| coarse | 0.500 [0.490 … 0.510] | 0.400 [0.390 … 0.410] |",
    ]


def test_claims_stand_beside_their_measurements(claims: Any) -> None:
    claims[3]["detail"] = "on two\nlines"
    assert claims_markdown(claims).splitlines() == [
        "| claim | source | measured here | verdict |",
        "| --- | --- | --- | --- |",
        "| tokens & their <sums> matter | a paper | r: 0.03 [0.02 … 0.04]; how: confirmed "
        "| **confirmed** |",
        "| it is \\| it was | a paper | 0 of 16; how: not confirmed | **not confirmed** |",
        "| digits are sloppier | a paper | 52 [48 … 56]; how: undecided | **undecided** |",
        "| larger models differ | a paper | on two lines | **not measured** |",
    ]


def test_what_is_above_the_truth_stands_aside_as_well(results: Any) -> None:
    results["above"] = ["fine"]
    table = agreement_table(results, "up", 1e-3)
    assert [row.name for row in table.rows if row.aside] == ["truth", "fine"]


def test_every_step_is_a_row_and_what_was_not_measured_of_it_is_empty(results: Any) -> None:
    table = step_table(results, 1e-3)
    assert [(row.name, row.description) for row in table.rows] == [
        ("fine", "from truth"),
        ("coarse", "from truth"),
    ]
    assert [c["name"] for c in table.columns] == ["pearson", "error"]
    assert [e.value for e in table.rows[0].entries] == ["0.700", "0.125"]
    assert table.rows[1].entries[1].cell is None
    assert [c["name"] for c in step_table(results, 1e-1).columns] == ["pearson"]
    assert step_table(results, 0.5).rows == []


def test_a_figure_without_sampling_error_shows_no_interval(results: Any) -> None:
    pearson, error = step_table(results, 1e-3).rows[0].entries
    assert pearson.wide
    assert not error.wide
    assert "0.700 [0.680 … 0.720] | 0.125 |" in markdown(step_table(results, 1e-3))
