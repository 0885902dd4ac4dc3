"""Findings: sentences that follow the numbers wherever they go."""

from typing import Any

import pytest

from refimpl.report.sentences import findings


def claims(results: Any) -> str:
    return "\n".join(f.claim for f in findings(results))


def test_every_finding_of_the_example(results: Any) -> None:
    assert claims(results).splitlines() == [
        "Influence by the truth foretells doubling an example: Pearson r 0.990",
        "Nearest to the truth is fine, at every λ measured",
        "The costliest step is from truth to fine: Pearson r −0.300 [−0.310, −0.290]",
        "coarse is below fine at every λ",
        "coarse's agreement with the truth falls as damping falls",
        "The most helpful examples are harder than average, and 50 % share the query's label",
        "The most harmful examples are about as hard as average, and 50 % share the query's label",
        "13 of 20 queries have no notable influence",
        "1 of 8 retrainings missed their tolerance and are left out; "
        "all 20 linear solves met theirs",
    ]


@pytest.mark.parametrize(
    ("low", "high", "claim"),
    [
        (0.1, 0.2, "coarse is above fine at λ = 10⁻³ and below it at λ = 10⁻¹"),
        (-0.1, 0.2, "coarse is below fine at λ = 10⁻¹ and not told apart from it at λ = 10⁻³"),
        (-0.2, -0.1, "coarse is below fine at every λ"),
    ],
)
def test_a_paired_difference_is_told_by_its_interval(
    low: float, high: float, claim: str, results: Any
) -> None:
    results["contrasts"][1] |= {"low": low, "high": high, "value": (low + high) / 2}
    assert claim in claims(results)


def test_differences_that_no_damping_tells_apart(results: Any) -> None:
    for contrast in results["contrasts"]:
        contrast |= {"low": -0.1, "high": 0.1}
    assert "coarse is not told apart from fine at any λ" in claims(results)


def test_the_costliest_step_is_the_one_that_costs_most(results: Any) -> None:
    results["contrasts"][1] |= {"value": -0.4, "low": -0.42, "high": -0.38}
    assert "The costliest step is from fine to coarse" in claims(results)


def test_a_step_that_costs_nothing_is_not_called_costly(results: Any) -> None:
    results["contrasts"][1] |= {"value": 0.0, "low": -0.1, "high": 0.1}
    for figure in results["agreement"]:
        if figure["reference"] == "truth" and figure["curvature"] == "fine":
            figure |= {"value": 0.99, "low": 0.98, "high": 1.0}
    assert "costliest" not in claims(results)


def test_the_nearest_is_named_with_the_dampings_where_it_is(results: Any) -> None:
    for figure in results["agreement"]:
        if figure["curvature"] == "coarse" and figure["damping"] == 1e-1:
            figure["value"] = 0.95
    assert "Nearest to the truth is fine, at λ = 10⁻³" in claims(results)


def test_outcomes_that_differ_are_told_apart(results: Any) -> None:
    results["references"].append(
        {
            "name": "down",
            "title": "removing",
            "short": "removing an example",
            "kind": "outcome",
            "caption": "",
        }
    )
    results["agreement"].append(
        dict(results["agreement"][9], reference="down", curvature="truth", value=0.5)
    )
    claim = claims(results).splitlines()[0]
    assert claim == (
        "Influence by the truth foretells doubling an example (Pearson r 0.990) "
        "better than removing an example (0.500)"
    )


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((30.0, 25.0, 35.0), "easier than"),
        ((55.0, 45.0, 65.0), "about as hard as"),
        ((80.0, 70.0, 90.0), "harder than"),
    ],
)
def test_hardness_is_told_by_the_interval(
    interval: tuple[float, float, float], word: str, results: Any
) -> None:
    results["top_examples"] = [results["top_examples"][0] | {"loss_percentile": list(interval)}]
    assert f"The most helpful examples are {word} average" in claims(results)


def test_seeds_share_one_finding_of_what_influential_examples_are_like(results: Any) -> None:
    first = results["top_examples"][0]
    other = {"seed": 1, "same_label": [0.75, 0.7, 0.8], "loss_percentile": [45.0, 40.0, 49.0]}
    results["top_examples"] = [first, first | other]
    (finding,) = [f for f in findings(results) if "share the query's label" in f.claim]
    assert finding.claim == (
        "The most helpful examples are harder than average at 1 of 2 seeds and easier at 1, and 50 to "
        "75 % share the query's label"
    )
    assert finding.evidence.count("own loss at percentile") == 2
    assert "seed 1: own loss at percentile 45 [40, 49]" in finding.evidence


def test_retrainings_of_all_seeds_are_counted_together(results: Any) -> None:
    results["responses"] = [{**r, "seed": seed} for seed in (0, 1) for r in results["responses"]]
    finding = findings(results)[-1]
    assert finding.claim.startswith("2 of 16 retrainings missed")
    assert finding.evidence == "Missed: up, λ = 10⁻³: 2 of 8."


def test_agreement_that_rises_or_stays_is_said_so(results: Any) -> None:
    coarse = [
        f
        for f in results["agreement"]
        if (f["reference"], f["curvature"], f["statistic"]) == ("truth", "coarse", "pearson")
    ]
    coarse[1] |= {"value": 0.95, "low": 0.94, "high": 0.96}
    assert "coarse's agreement with the truth rises as damping falls" in claims(results)
    coarse[1] |= {"value": 0.86, "low": 0.84, "high": 0.88}
    assert "coarse's agreement with the truth does not move with damping" in claims(results)


def test_what_missed_its_tolerance_is_named_with_its_place(results: Any) -> None:
    finding = findings(results)[-1]
    assert finding.evidence == "Missed: up, λ = 10⁻³: 1 of 4."
    results["responses"][1]["converged"] = [True] * 4
    results["solves"][0]["missed"] = 3
    assert claims(results).splitlines()[-1] == (
        "All 8 retrainings reached a relative gradient norm of 1.0 × 10⁻⁸; "
        "3 of 20 linear solves missed theirs"
    )
    results["responses"] = []
    assert claims(results).splitlines()[-1] == "3 of 20 linear solves missed their tolerance"


def test_nothing_is_said_of_what_was_not_measured(results: Any) -> None:
    bare = {
        k: results[k] for k in ("format", "name", "title", "setting", "curvatures", "provenance")
    }
    assert findings(bare | {"agreement": []}) == []  # type: ignore[arg-type]
    results["headline"] = {"damping": 1e-7, "curvature": "coarse", "statistic": "pearson"}
    assert "Nearest" not in claims(results)


def test_queries_that_no_passage_moves_are_counted(results: Any, passages: Any) -> None:
    del results["gallery"]
    (finding,) = [
        f for f in findings(results | {"passages": passages}) if "no notable influence" in f.claim
    ]
    assert finding.claim == "9 of 16 queries have no notable influence"
    everyone = passages | {"notable": passages["queries_total"]}
    claims = [f.claim for f in findings(results | {"passages": everyone})]
    assert "All 16 queries have a notable influence" in claims
    assert finding.evidence == (
        "No single training sequence would move their log p by 0.01 or more, by truth at λ = 10⁻³."
    )


def test_one_damping_is_named(results: Any) -> None:
    results["agreement"] = [f for f in results["agreement"] if f["damping"] == 1e-3]
    results["contrasts"] = results["contrasts"][1:]
    sentences = claims(results).splitlines()
    assert "Nearest to the truth is fine, at λ = 10⁻³" in sentences
    assert "coarse is below fine" in sentences
    assert not any("damping falls" in claim for claim in sentences)


def test_what_is_above_the_truth_is_never_called_the_nearest(results: Any) -> None:
    third = {"name": "third", "family": "third", "description": ""}
    results["curvatures"].append(third)
    here = results["agreement"][7]
    results["agreement"] += [
        dict(here, curvature="third", value=0.1),
        dict(here, damping=1e-1, curvature="third", value=0.1),
    ]
    assert "Nearest to the truth is fine" in claims(results)
    results["above"] = ["fine"]
    assert "Nearest to the truth is coarse" in claims(results)
