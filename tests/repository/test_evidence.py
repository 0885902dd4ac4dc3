"""What the trust report rests on: deviations are compared, and what was measured is written down."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import evidence
import pytest
import torch
from evidence import within


@contextmanager
def unrecorded() -> Iterator[None]:
    """What fails here on purpose is no evidence of the suite's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "_measured", [])
        yield


def test_a_deviation_within_its_bound_passes_and_one_beyond_fails():
    within(torch.tensor([1e-3, 0.5]), torch.tensor([1e-2, 0.5]))
    within(-1.0, 1e-9)
    within(0.0, 0.0)
    with unrecorded(), pytest.raises(AssertionError, match="rank is 2 times its bound"):
        within([0.1, 2.0], 1.0, "rank")


@pytest.mark.parametrize("deviation", [float("nan"), float("inf"), 1e-300])
def test_no_number_and_anything_above_zero_fail_where_nothing_is_allowed(deviation):
    with unrecorded(), pytest.raises(AssertionError):
        within(deviation, 0.0)


@pytest.mark.parametrize("bound", [float("nan"), float("inf")])
def test_a_bound_that_bounds_nothing_fails(bound):
    with unrecorded(), pytest.raises(AssertionError):
        within(0.0, bound)


SUITE = """
    from evidence import within
    from hypothesis import given, settings, strategies as st
    import pytest

    @settings(max_examples=7, database=None)
    @given(st.floats(0, 1))
    def test_property(x):
        within(x / 4, 1.0, "a quarter")

    def test_worst_of_two():
        within(0.25, 1.0, "small")
        within(3.0, 4.0, "large")

    def test_red():
        within(2.0, 1.0)

    def test_without_bounds():
        pass

    @pytest.fixture
    def broken():
        raise RuntimeError

    def test_without_its_fixture(broken):
        pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_every_test_leaves_a_line_of_what_it_measured(pytester, monkeypatch, processes):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    pytester.makepyfile(SUITE)
    pytester.makeconftest("")
    pytester.runpytest_subprocess(
        "-p", "evidence", "--evidence", "out.jsonl", "-n", processes, "-p", "no:cacheprovider"
    )
    lines = (pytester.path / "out.jsonl").read_text().splitlines()
    by_test = {line["test"].split("::")[1]: line for line in map(json.loads, lines)}
    assert by_test["test_property"]["examples"] == 7
    assert by_test["test_property"]["comparisons"] == 7
    worst = by_test["test_worst_of_two"]
    assert (worst["ratio"], worst["what"], worst["comparisons"]) == (0.75, "large", 2)
    assert (by_test["test_red"]["outcome"], by_test["test_red"]["ratio"]) == ("failed", 2.0)
    assert "ratio" not in by_test["test_without_bounds"]
    assert by_test["test_without_its_fixture"]["outcome"] == "failed"
    assert len(lines) == 5
