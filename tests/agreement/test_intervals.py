"""Intervals over queries cover what they claim; paired differences; degenerate cases."""

import numpy as np
import pytest
from scipy import stats

from refimpl.agreement.intervals import Estimate, Interval, difference, mean_over_queries

# Means of functions of normal numbers, by quadrature.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
EPS = np.finfo(np.float64).eps


def mean_of(f, mean, deviation):
    return float((f(mean + deviation * NODES) * WEIGHTS).sum() / WEIGHTS.sum())


def correlations(mean, deviation):
    """Correlations with a normal Fisher's z: bounded by 1, the more skewed the nearer to it."""
    law = lambda g, shape: np.tanh(g.normal(mean, deviation, size=shape))  # noqa: E731
    return law, mean_of(np.tanh, mean, deviation)


# The laws of the statistics of a query. Those of correlations have the z that a digits MLP's had over
# 300 queries (EK-FAC against the exact GNH): Pearson's with mean 2.36 and deviation 0.24 at a damping
# of 0.1, skewness -1.5; 1.31 and 0.21 at 0.01; 0.89 and 0.19 at 0.001; and wider ones, to be safe.
LAWS = {
    "normal": (lambda g, shape: g.normal(size=shape), 0.0),
    "correlation 0.98": correlations(2.36, 0.24),
    "correlation 0.85": correlations(1.31, 0.21),
    "correlation 0.7": correlations(0.89, 0.19),
    "correlation 0.7, wide": correlations(1.0, 0.5),
    "correlation 0.4, wide": correlations(0.5, 0.4),
    "overlap of ten": (lambda g, shape: g.binomial(10, 0.7, size=shape) / 10, 0.7),
    "error": (lambda g, shape: g.exponential(size=shape), 1.0),
}
# The simulation's own error: among 2,000 draws a coverage of 95 % has a standard deviation of
# sqrt(0.95 * 0.05 / 2000) = 0.49 %, so that the band's ends are 4.1 of them away: an interval that
# covers what it claims falls outside once in 20,000, one that covers 92 % inside once in 20. (1,000
# draws, 0.69 %, would let 92 % pass once in 8.)
DRAWS = 2000


NONE = Interval(0.0, 0.0, 0.95, "none")


def covered(found, truth):
    return np.mean([e.interval.low <= truth <= e.interval.high for e in found])


@pytest.mark.parametrize("queries", [20, 50, 200])
@pytest.mark.parametrize("name", LAWS)
def test_intervals_of_95_percent_cover_in_93_to_97_percent_of_draws(name, queries):
    draw, truth = LAWS[name]
    rows = draw(np.random.default_rng(7), (DRAWS, queries))
    assert 0.93 <= covered([mean_over_queries(row) for row in rows], truth) <= 0.97


@pytest.mark.parametrize("queries", [20, 50, 200])
@pytest.mark.parametrize(
    # Fisher's z: its mean and deviation over queries, which both methods share, the first's lead and
    # the deviation of each. Differences of EK-FAC and K-FAC had a skewness of -0.7 to 0 and an excess
    # kurtosis up to 2.8; these have 0.4 and 2.7, -0.5 and 4.3, 0 and 0.8.
    ("shared", "lead", "own"),
    [((1.0, 0.4), 0.1, 0.2), ((2.36, 0.24), -0.01, 0.02), ((0.9, 0.19), 0.0, 0.05)],
)
def test_paired_differences_of_95_percent_cover_in_93_to_97_percent_of_draws(
    shared, lead, own, queries
):
    generator, shape = np.random.default_rng(7), (DRAWS, queries)
    difficulty = generator.normal(*shared, size=shape)
    first = np.tanh(difficulty + generator.normal(lead, own, size=shape))
    second = np.tanh(difficulty + generator.normal(0.0, own, size=shape))
    mean, spread = shared[0], (shared[1] ** 2 + own**2) ** 0.5
    truth = mean_of(np.tanh, mean + lead, spread) - mean_of(np.tanh, mean, spread)
    pairs = zip(first, second, strict=True)
    found = [
        difference(Estimate(0.0, NONE, tuple(x), 0), Estimate(0.0, NONE, tuple(y), 0))
        for x, y in pairs
    ]
    assert 0.93 <= covered(found, truth) <= 0.97


def test_the_interval_solves_halls_equation():
    values = np.random.default_rng(3).exponential(size=30)
    found = mean_over_queries(values, level=0.9).interval
    assert found.method == "hall"
    k = float(stats.skew(values)) / 30**0.5
    for end, probability in ((found.low, 0.95), (found.high, 0.05)):
        t = (values.mean() - end) / (values.std(ddof=1) / 30**0.5)
        g = t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6
        # sums of 30 terms and some ten operations on numbers of size 1 to 10
        assert g == pytest.approx(stats.t.ppf(probability, 29), abs=30 * 10 * EPS)


def test_without_skewness_it_is_students_interval_and_a_mirror_image_has_the_mirrored_one():
    values = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    found = mean_over_queries(values).interval
    low, high = stats.t.interval(0.95, 4, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=10 * EPS)
    skewed = np.random.default_rng(0).exponential(size=40)
    one, other = mean_over_queries(skewed).interval, mean_over_queries(-skewed).interval
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=100 * EPS)
    assert one.high - skewed.mean() > skewed.mean() - one.low  # the long tail's side is longer


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_tiny_and_huge_statistics_have_the_interval_of_their_size(scale):
    values = np.array([1.0, 2.0, 4.0, 8.0])
    one, other = mean_over_queries(values).interval, mean_over_queries(scale * values).interval
    assert (other.low / scale, other.high / scale) == pytest.approx(
        (one.low, one.high), rel=100 * EPS
    )


def test_undefined_queries_are_counted_and_left_out():
    estimate = mean_over_queries(np.array([1.0, np.nan, 3.0]))
    assert estimate.value == 2.0
    assert estimate.undefined == 1
    assert mean_over_queries(np.array([np.nan])).undefined == 1
    assert np.isnan(mean_over_queries(np.array([np.nan])).value)


def test_an_interval_ends_where_the_statistic_does():
    values = np.array([0.9, 1.0, 1.0, 0.95, 0.2, 1.0])
    whole, cut = mean_over_queries(values), mean_over_queries(values, within=(0.6, 1.0))
    assert whole.interval.low < 0.6
    assert cut.interval.low == 0.6
    assert cut.value == whole.value
    assert cut.interval.high == min(whole.interval.high, 1.0)
    other = mean_over_queries(1 - values, within=(0.0, 0.3)).interval
    assert mean_over_queries(1 - values).interval.high > 0.3
    assert other.high == 0.3
    assert np.isnan(mean_over_queries(np.array([0.5]), within=(0.0, 1.0)).interval.high)


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


def test_a_paired_difference_has_students_interval():
    first, second = np.array([1.0, 2.0, 4.0, 9.0]), np.array([0.5, 1.0, 4.5, 3.0])
    gap = difference(mean_over_queries(first), mean_over_queries(second), level=0.9).interval
    expected = stats.ttest_rel(first, second).confidence_interval(0.9)
    assert gap.method == "student"
    assert (gap.low, gap.high) == pytest.approx(tuple(expected), rel=20 * EPS)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one value per query"):
        mean_over_queries(np.array([]))
    with pytest.raises(ValueError, match="infinite"):
        mean_over_queries(np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="level"):
        mean_over_queries(np.array([1.0, 2.0]), level=1.0)
    with pytest.raises(ValueError, match="same queries"):
        difference(mean_over_queries(np.ones(2)), mean_over_queries(np.ones(3)))
