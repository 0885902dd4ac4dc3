"""Levels of the trust report: every test counts once, and what is red or NaN shows."""

import json
import math

import pytest

from validation.trust.levels import LEVELS, Level, Test, read, summarise


def test_every_test_belongs_to_the_first_level_that_fits():
    levels = (Level("a", "", ("tests/a/x",)), Level("b", "", ("tests/a",)), Level("c", "", ("",)))
    tests = [
        Test(name, "passed", 1.0, examples=3, comparisons=2)
        for name in ("tests/a/x.py::t", "tests/a/y.py::t", "tests/a/y.py::u", "refimpl/z.py::z")
    ]
    summary = summarise(tests, levels)
    assert [s.tests for s in summary] == [1, 2, 1]
    assert [s.examples for s in summary] == [3, 6, 3]
    assert [s.comparisons for s in summary] == [2, 4, 2]
    assert all(s.green for s in summary)


def test_a_red_test_or_a_level_without_tests_is_not_green():
    (one, two) = summarise(
        [Test("tests/validation/proved/t.py::t", "failed", 1.0)],
        (LEVELS[0], Level("none", "", ("nowhere",))),
    )
    assert not one.green
    assert one.failed == ["tests/validation/proved/t.py::t"]
    assert not two.green


def test_the_worst_ratio_stands_first_and_nan_before_it():
    tests = [
        Test(f"t{i}", "passed", 0.0, ratio=r) for i, r in enumerate((0.1, math.nan, 0.7, None, 0.0))
    ]
    (summary,) = summarise(tests, (Level("all", "", ("",)),))
    assert [t.name for t in summary.worst] == ["t1", "t2", "t0", "t4"]


def test_every_test_file_of_the_repository_has_a_level_of_its_own(pytestconfig):
    # A moved folder would silently fall to the last level: each named path must exist.
    for level in LEVELS[:-1]:
        for path in level.tests:
            assert list(pytestconfig.rootpath.glob(f"{path.rstrip('/')}*")), path


def test_lines_are_read_back_and_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "evidence.jsonl"
    with pytest.raises(FileNotFoundError, match="nox -s trust"):
        read(path)
    path.write_text("")
    with pytest.raises(ValueError, match="cut short"):
        read(path)
    line = {"test": "t", "outcome": "passed", "seconds": 0.5, "examples": 2, "comparisons": 1}
    path.write_text(json.dumps(line | {"ratio": math.nan, "what": "x"}) + "\n")
    (summary,) = read(path)
    assert (summary.name, summary.examples, summary.what) == ("t", 2, "x")
    assert math.isnan(summary.ratio)
