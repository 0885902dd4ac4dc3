"""The matrix of faults: what counts as caught, as a crash, and as named."""

import math

import pytest

from refimpl.oracle.faults import FAULTS
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.selftest import fault_matrix as module
from refimpl.oracle.selftest.fault_matrix import Row, catch, matrix


def outcome(verdict: Verdict, ratio: float | None = None) -> Outcome:
    return Outcome("case", "solve", "solve-equal", "identity", "isolated", verdict, ratio)


def joined(*outcomes: Outcome) -> Row:
    row = Row("fault", "damping")
    for outcome in outcomes:
        row = row.joined(outcome)
    return row


def test_of_several_fails_the_smallest_ratio_is_kept() -> None:
    fails = [outcome(Verdict.FAIL, r) for r in (80.0, 50.0, math.nan)]
    assert joined(*fails).caught == {"solve-equal": 50.0}
    assert joined(outcome(Verdict.FAIL, math.nan)).caught == {"solve-equal": math.inf}


def test_a_crash_is_no_fail_and_is_counted_once() -> None:
    row = joined(outcome(Verdict.ERROR), outcome(Verdict.ERROR))
    assert row.caught == {}
    assert row.crashed == ("solve-equal",)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.UNSUPPORTED, Verdict.INDETERMINATE])
def test_nothing_else_counts(verdict: Verdict) -> None:
    assert joined(outcome(verdict, 0.1)) == Row("fault", "damping")


def test_a_fault_is_caught_on_the_first_case_that_shows_it_and_named() -> None:
    (fault,) = (f for f in FAULTS if f.slug == "s-summed-over-examples")
    (row,) = matrix([fault])
    assert row.caught
    assert all(ratio > 0 for ratio in row.caught.values())
    assert row.case == "mlp/tanh-square"
    assert row.named
    assert fault.sentence in row.diagnosis[0]


def test_a_check_that_fits_few_cases_finds_its_fault_on_one_of_them(monkeypatch) -> None:
    row = catch("response-quadratic")
    assert row is not None
    assert row.slug.startswith("response-")
    assert list(row.caught) == ["response-quadratic"]
    assert row.caught["response-quadratic"] > 1
    assert row.case.startswith("losses/")
    monkeypatch.setattr(module, "all_cases", dict)
    monkeypatch.setattr(module, "FAULTS", [f for f in FAULTS if f.stage != "response"])
    assert catch("response-quadratic") is None
