"""Intervals over queries cover what they claim; paired differences; degenerate cases."""

import numpy as np
import pytest

from refimpl.intervals import difference, mean_over_queries

NORMAL = (lambda g, shape: g.normal(size=shape), 0.0)
OVERLAP = (lambda g, shape: g.binomial(10, 0.7, size=shape) / 10, 0.7)
# tanh of a normal number, as correlations are; its mean by quadrature
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
CORRELATION = (
    lambda g, shape: np.tanh(g.normal(1.0, 0.5, size=shape)),
    float((np.tanh(1.0 + 0.5 * NODES) * WEIGHTS).sum() / WEIGHTS.sum()),
)


@pytest.mark.parametrize(
    ("law", "queries"),
    [(NORMAL, 8), (NORMAL, 20), (NORMAL, 50), (OVERLAP, 8), (OVERLAP, 20), (OVERLAP, 50),
     (CORRELATION, 50), (CORRELATION, 150), (OVERLAP, 150)],
)  # fmt: skip
def test_intervals_of_95_percent_cover_in_93_to_97_percent_of_1000_draws(law, queries):
    draw, truth = law
    generator = np.random.default_rng(7)
    covered = 0
    for row in draw(generator, (1000, queries)):
        interval = mean_over_queries(row).interval
        covered += interval.low <= truth <= interval.high
    assert 930 <= covered <= 970


def test_the_method_changes_with_the_number_of_queries():
    generator = np.random.default_rng(0)
    assert mean_over_queries(generator.normal(size=99)).interval.method == "student"
    assert mean_over_queries(generator.normal(size=100)).interval.method == "bca"


def test_undefined_queries_are_counted_and_left_out():
    estimate = mean_over_queries(np.array([1.0, np.nan, 3.0]))
    assert estimate.value == 2.0
    assert estimate.undefined == 1
    assert mean_over_queries(np.array([np.nan])).undefined == 1
    assert np.isnan(mean_over_queries(np.array([np.nan])).value)


def test_one_query_has_a_value_and_no_interval():
    estimate = mean_over_queries(np.array([0.5]))
    assert estimate.value == 0.5
    assert estimate.interval.method == "none"
    assert np.isnan(estimate.interval.low)


def test_equal_values_give_an_interval_of_no_width():
    for count in (3, 120):
        interval = mean_over_queries(np.full(count, 0.25)).interval
        assert (interval.low, interval.high) == (0.25, 0.25)


def test_a_paired_difference_is_sharper_than_two_intervals():
    generator = np.random.default_rng(1)
    difficulty = generator.normal(size=100)
    worse = mean_over_queries(difficulty)
    better = mean_over_queries(difficulty + 0.1 + 0.01 * generator.normal(size=100))
    gap = difference(better, worse)
    assert 0.09 < gap.interval.low < gap.interval.high < 0.11
    assert worse.interval.high > better.interval.low  # the separate intervals overlap


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one value per query"):
        mean_over_queries(np.array([]))
    with pytest.raises(ValueError, match="infinite"):
        mean_over_queries(np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="level"):
        mean_over_queries(np.array([1.0, 2.0]), level=1.0)
    with pytest.raises(ValueError, match="same queries"):
        difference(mean_over_queries(np.ones(2)), mean_over_queries(np.ones(3)))
