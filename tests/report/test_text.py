"""Numbers as text."""

import pytest

from refimpl.report import text
from refimpl.report.lookup import Cell


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (-0.5, "−0.500"),
        (1234.5678, "1234.568"),
        (12345.678, "1.2 × 10⁴"),
        (0.0004, "4.0 × 10⁻⁴"),
        (-2.5e-9, "−2.5 × 10⁻⁹"),
    ],
)
def test_figures(value: float, expected: str) -> None:
    assert text.figure(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-3, "10⁻³"), (1.0, "10⁰"), (100.0, "10²"), (0.003, "0.003"), (0.0, "0")],
)
def test_dampings_are_powers_of_ten_where_they_are(value: float, expected: str) -> None:
    assert text.damping(value) == expected


def test_a_mantissa_never_rounds_to_ten() -> None:
    assert text.power(9.99e-9) == "1.0 × 10⁻⁸"
    assert text.power(-3.21) == "−3.2"


def test_intervals_and_signs() -> None:
    assert text.interval(Cell(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"
    assert text.signed(Cell(-0.5, -1e-5, 0.25)) == "−0.500 [−1.0 × 10⁻⁵, +0.250]"


def test_numbers_are_not_broken_over_lines() -> None:
    spaced = "at λ = 10⁻³ it is 2.5 × 10⁻⁹ [0.1, 0.2] or more"
    joined = text.unbroken(spaced)
    assert joined.split(" ") == [
        "at",
        "λ\xa0=\xa010⁻³",
        "it",
        "is",
        "2.5\xa0×\xa010⁻⁹",
        "[0.1,\xa00.2]",
        "or",
        "more",
    ]
    assert text.plus(0.5) == "+0.500"
    assert text.sentence("the GNH") == "The GNH"


def test_lists_in_words() -> None:
    assert text.joined([]) == ""
    assert text.joined(["a"]) == "a"
    assert text.joined(["a", "b", "c"]) == "a, b and c"
