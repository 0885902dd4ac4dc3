"""A fault is one function under `mistake`: what becomes of one that a test adds."""

from collections.abc import Iterator
from typing import Any

import pytest

from refimpl.oracle.faults import FAULTS
from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.selftest.fault_matrix import matrix


def damping_tripled(right: Any, me: Any, *args: Any) -> Any:
    """the damping is added three times"""
    return right(*args[:-1], 3 * args[-1])


damping_tripled.__module__ = "refimpl.oracle.faults.damping"  # a fault's module is its bug type
TRIPLED = mistake("solve", edits="damped")(damping_tripled)


@pytest.fixture
def registered() -> Iterator[None]:
    FAULTS.append(TRIPLED)
    yield
    FAULTS.remove(TRIPLED)


def test_its_function_says_all_about_it() -> None:
    assert (TRIPLED.slug, TRIPLED.bug_type) == ("damping-tripled", "damping")
    assert TRIPLED.sentence == "the damping is added three times"


@pytest.mark.usefixtures("registered")
def test_it_is_caught_and_named() -> None:
    (row,) = matrix([TRIPLED])
    assert "solve-backward-error" in row.caught
    assert row.named
    assert any(TRIPLED.sentence in sentence for sentence in row.diagnosis)
