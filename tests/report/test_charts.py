"""Charts: a line where there are two dampings, and nothing otherwise."""

from typing import Any

from refimpl.report.charts import agreement_charts, trace_charts


def test_a_drawing_for_each_statistic_over_damping(results: Any) -> None:
    truth, up = results["references"]
    assert [c.title for c in agreement_charts(results, truth)] == ["Pearson r", "error"]
    assert [c.title for c in agreement_charts(results, up)] == ["Pearson r"]


def test_one_damping_is_no_line(results: Any) -> None:
    results["agreement"] = [f for f in results["agreement"] if f["damping"] == 1e-3]
    assert [agreement_charts(results, r) for r in results["references"]] == [[], []]


def test_an_outcome_measured_at_one_damping_has_no_line_though_others_have(results: Any) -> None:
    results["agreement"] = [
        f for f in results["agreement"] if f["reference"] == "truth" or f["damping"] == 1e-3
    ]
    truth, up = results["references"]
    assert len(agreement_charts(results, truth)) == 2
    assert agreement_charts(results, up) == []


def test_a_curvature_that_is_not_plotted_has_no_line(results: Any) -> None:
    truth = results["references"][0]
    assert ">coarse<" in agreement_charts(results, truth)[0].svg
    results["curvatures"][2]["plotted"] = False
    svg = agreement_charts(results, truth)[0].svg
    assert ">coarse<" not in svg
    assert ">fine<" in svg


def test_traces_of_a_curvature_share_a_drawing_and_seeds_are_averaged(results: Any) -> None:
    (one,) = trace_charts(results)
    assert one.title.startswith("fine: residual")
    assert one.svg.count("λ = ") >= 2
    twice = results["traces"] + [dict(t, seed=1) for t in results["traces"]]
    results["traces"] = twice
    assert trace_charts(results) == [one]  # the mean of the same is the same
    results["traces"] = []
    assert trace_charts(results) == []
