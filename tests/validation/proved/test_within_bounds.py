"""refimpl's float64 answers lie within the bounds that rounding and conditioning allow."""

from functools import cache

import numpy as np
import pytest
from evidence import within

from validation.proved import PROBLEMS, proved_records, worst
from validation.proved.answers import computed_answers
from validation.proved.comparison import compare, enclosed_truth

# What every problem must be compared on; eigenvectors and EK-FAC end to end need a simple spectrum.
ALWAYS = {
    "outputs",
    "Jacobian",
    "gradients",
    "gradients of queries",
    "GNH by definition",
    "GNH, structured",
    "Hessian",
    "A",
    "S",
    "Λ, own basis",
    "trace of Λ",
    "EK-FAC solve, own basis",
    "EK-FAC influence, own basis",
    "GNH solve",
    "GNH influence",
    "K-FAC solve",
    "K-FAC influence",
}
WHERE_SIMPLE = {
    "eigenvectors",
    "Λ, end to end",
    "EK-FAC solve, end to end",
    "EK-FAC influence, end to end",
}


@cache
def evaluated(problem):
    known = enclosed_truth(problem)
    return known, computed_answers(problem, known.vectors)


@cache
def compared(problem):
    return compare(problem, *evaluated(problem))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_every_answer_lies_within_its_derived_bound(problem):
    records = compared(problem)
    assert {r.quantity for r in records} - WHERE_SIMPLE == ALWAYS
    for r in records:
        within(r.ratio, 1.0, r.quantity)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_bounds_say_something_about_every_answer(problem):
    # A bound as large as the answer would pass a zero. What needs no inverse is known to some
    # thousand u, but where a softmax saturates: of p (1 - p) the definition keeps the absolute
    # accuracy of p, 1e4 to 1e6 times less. A solve keeps a digit even at lambda = 1e-10.
    known, given = evaluated(problem)
    b = known.bounds
    relative = 1e-7 if "saturated" in problem.name else 1e-11
    for bound, value in (
        (b.outputs, given.outputs),
        (b.jacobian, given.jacobian),
        (b.structured, given.structured),
        (b.by_definition, given.by_definition),
        (b.hessian, given.hessian),
        *zip((A for A, _ in b.factors), (A for A, _ in given.factors), strict=True),
        *zip((S for _, S in b.factors), (S for _, S in given.factors), strict=True),
    ):
        assert np.linalg.norm(bound.error) <= relative * np.linalg.norm(value)
    for record in compared(problem):
        name, _, rest = record.quantity.partition(" solve")
        if name in given.solves and not rest.startswith(", own"):
            assert record.bound <= 0.1 * np.linalg.norm(given.solves[name], axis=1).max()


def test_bounds_are_reached_to_within_three_digits():
    # The deterministic constants (K terms instead of sqrt K, 3P + 1 for Cholesky) cost two to three
    # digits against roundings as they fall; more would be a bound too loose to be worth its name.
    found = {}
    for problem in PROBLEMS:
        found |= {(problem.name, q): r for q, r in worst(compared(problem)).items()}
    for quantity, record in worst(list(found.values())).items():
        assert 1e-3 < record.ratio < 1, (quantity, record)


def test_eigenvectors_are_proved_where_the_spectrum_is_simple():
    counts = dict.fromkeys(WHERE_SIMPLE, 0)
    for problem in PROBLEMS:
        for quantity in {r.quantity for r in compared(problem)} & WHERE_SIMPLE:
            counts[quantity] += 1
    assert all(count >= 24 for count in counts.values()), counts


def test_records_are_plain_numbers_and_the_same_on_every_call():
    some = PROBLEMS[:2]
    records = proved_records(some)
    assert records == proved_records(some)
    assert {r.problem for r in records} == {p.name for p in some}
    for r in records:
        assert all(type(x) is float for x in (r.error, r.bound, r.ratio))
