"""Margins: the worst ratio of the honest, the smallest of the faulty, and the file that holds both."""

import json
import math
from dataclasses import replace

import pytest

from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.selftest import margins
from refimpl.oracle.selftest.fault_matrix import Row


def test_of_each_check_the_worst_honest_and_the_smallest_faulty_ratio_are_written(tmp_path) -> None:
    one, other, third = (check.slug for check in CHECKS[:3])
    rows = [
        Row("a", "damping", caught={one: 50.0, other: math.inf}),
        Row("b", "damping", caught={one: 40.0}),
        Row("c", "damping", caught={one: 60.0}),
    ]
    path = tmp_path / "margins.json"
    margins.write_margins({one: 2.0, third: 0.5}, rows, path)
    found = json.loads(path.read_text())
    assert list(found) == [check.slug for check in CHECKS]
    assert found[one] == {"honest": 2.0, "faulty": 40.0, "catches": ["a", "b", "c"]}
    assert found[other] == {"honest": None, "faulty": "infinite", "catches": ["a"]}
    assert found[third] == {"honest": 0.5, "faulty": None, "catches": []}


def test_the_honest_margin_is_the_worst_of_both_implementations_in_all_conventions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = next(iter(quick()))
    monkeypatch.setattr(margins, "all_cases", lambda: {name: quick()[name]})
    few = [check for check in CHECKS if check.stage in ("factors", "solve")]
    monkeypatch.setattr(margins, "CHECKS", [c for c in few if c.family == "stages"])
    chosen, kinds = [{}, {"sign": "product"}], margins.KINDS

    def worst(kind: dict, conventions: list) -> dict[str, float]:
        monkeypatch.setattr(margins, "KINDS", kind)
        monkeypatch.setattr(margins, "variants", lambda: conventions)
        return margins.worst_ratios()

    whole = worst(kinds, chosen)
    alone = [worst({k: kinds[k]}, [c]) for k in kinds for c in chosen]
    thresholds = {check.slug: check.threshold for check in CHECKS}
    assert whole
    assert all(ratio < thresholds[slug] for slug, ratio in whole.items())
    expected = {slug: max(found.get(slug, 0.0) for found in alone) for slug in whole}
    assert whole == expected


def test_the_measured_margins_lie_on_either_side_of_every_threshold() -> None:
    found = json.loads(margins.MARGINS.read_text())
    assert list(found) == [check.slug for check in CHECKS]
    for check in CHECKS:
        honest, faulty = found[check.slug]["honest"], found[check.slug]["faulty"]
        assert honest < check.threshold
        assert faulty == "infinite" or faulty > check.threshold


def test_an_honest_ratio_that_is_no_number_is_not_overlooked(monkeypatch) -> None:
    name = next(iter(quick()))
    monkeypatch.setattr(margins, "all_cases", lambda: {name: quick()[name]})
    only = next(c for c in CHECKS if c.slug == "factor-a-equal")
    monkeypatch.setattr(margins, "questions", lambda kind: ((only, "isolated"),))
    judged = margins.judge_check
    monkeypatch.setattr(margins, "judge_check", lambda *a: replace(judged(*a), ratio=math.nan))
    with pytest.raises(ValueError, match=f"factor-a-equal on {name} has nan"):
        margins.worst_ratios()
