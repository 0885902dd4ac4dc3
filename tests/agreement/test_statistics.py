"""Agreement statistics against scipy, brute force and their own symmetries."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from refimpl.agreement import statistics as ag

SMALL = st.integers(-3, 3).map(float)  # many ties
MATRICES = st.tuples(st.integers(1, 4), st.integers(2, 7)).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float64, shape, elements=SMALL)] * 2)
)
U = np.finfo(np.float64).eps / 2


@given(MATRICES)
def test_correlations_are_scipys_row_by_row(pair):
    x, y = pair
    for ours, theirs in (
        (ag.pearson, stats.pearsonr),
        (ag.spearman, stats.spearmanr),
        (ag.kendall, stats.kendalltau),
    ):
        estimate = ours(x, y)
        assert len(estimate.per_query) == len(x)
        for value, a, b in zip(estimate.per_query, x, y, strict=True):
            if np.ptp(a) == 0 or np.ptp(b) == 0:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(theirs(a, b)[0], abs=100 * U)


@given(MATRICES)
def test_rank_statistics_ignore_monotone_maps_and_are_symmetric(pair):
    x, y = pair
    for statistic in (ag.spearman, ag.kendall):
        first = np.array(statistic(x, y).per_query)
        assert np.allclose(first, statistic(np.exp(x), y**3).per_query, atol=1e-12, equal_nan=True)
        assert np.allclose(first, statistic(y, x).per_query, atol=1e-12, equal_nan=True)


def brute_force_top_k(a, b, k):
    """Least, mean and greatest overlap over every way to break the ties, mean over both sides."""

    def choices(v):
        kth = np.sort(v)[::-1][k - 1]
        sure = {i for i, value in enumerate(v) if value > kth}
        edge = [i for i, value in enumerate(v) if value == kth]
        return [sure | set(some) for some in itertools.combinations(edge, k - len(sure))]

    overlaps = [len(s & t) / k for s in choices(a) for t in choices(b)]
    return min(overlaps), sum(overlaps) / len(overlaps), max(overlaps)


@given(MATRICES, st.integers(1, 7))
def test_top_k_overlap_is_that_of_every_breaking_of_ties(pair, k):
    x, y = pair
    k = min(k, x.shape[1])
    found = ag.top_k_overlap(x, y, k)
    truth = [brute_force_top_k(a, b, k) for a, b in zip(x, y, strict=True)]
    least, mean, most = np.mean(truth, axis=0)
    assert found.least == pytest.approx(least)
    assert found.overlap.value == pytest.approx(mean)
    assert found.most == pytest.approx(most)
    assert found.chance == k / x.shape[1]


def test_random_rankings_overlap_by_chance():
    generator = np.random.default_rng(3)
    queries, examples, k = 4000, 30, 6
    x, y = generator.normal(size=(2, queries, examples))
    found = ag.top_k_overlap(x, y, k)
    # The overlap count is hypergeometric: variance k (k/M) (1 - k/M) (M - k)/(M - 1).
    p = k / examples
    variance = k * p * (1 - p) * (examples - k) / (examples - 1) / k**2
    assert abs(found.overlap.value - found.chance) < 5 * (variance / queries) ** 0.5


def test_magnitude_takes_the_most_harmful_too():
    x, y = np.array([[-5.0, 1.0, 2.0]]), np.array([[3.0, 1.0, 0.0]])
    assert ag.top_k_overlap(x, y, 1).overlap.value == 0.0
    assert ag.top_k_overlap(x, y, 1, by="magnitude").overlap.value == 1.0


def test_relative_error_is_per_row_and_undefined_for_a_zero_reference():
    x, y = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
    estimate = ag.relative_error(x, y)
    assert estimate.undefined == 1
    assert estimate.value == 0.5


@given(MATRICES, st.floats(0, 2))
def test_certified_pairs_by_brute_force(pair, slack):
    x, y = pair
    certified = turned = 0
    for a, b in zip(x, y, strict=True):
        for i, j in itertools.combinations(range(len(a)), 2):
            if abs(b[i] - b[j]) > 2 * slack:
                certified += 1
                turned += (a[i] - a[j]) * (b[i] - b[j]) <= 0
    pairs = len(x) * x.shape[1] * (x.shape[1] - 1) // 2
    found = ag.certified_pairs(x, y, np.full_like(y, slack))
    assert found == (certified, pairs, turned)


def test_tensors_and_tiny_scores_are_welcome():
    x = torch.tensor([[1.0, 2.0, 4.0]]).double() * 1e-200
    assert ag.pearson(x, x).value == pytest.approx(1.0)
    both = ag.compare(x, x, k=2)
    assert both.spearman.value == pytest.approx(1.0)
    assert both.top_k.value == 1.0
    assert both.top_k_chance == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "one shape"),
        (np.ones((1, 1)), np.ones((1, 1)), "at least 1 query and 2 examples"),
        (np.array([[1.0, np.nan]]), np.ones((1, 2)), "scores have NaN"),
        (np.ones((1, 2)), np.array([[1.0, np.inf]]), "reference have NaN"),
    ],
)
def test_bad_input_is_refused(x, y, message):
    with pytest.raises((ValueError, TypeError), match=f"{message}|Type-check"):
        ag.pearson(x, y)


def test_k_out_of_range_is_refused():
    with pytest.raises(ValueError, match="k must lie in"):
        ag.top_k_overlap(np.ones((1, 3)), np.ones((1, 3)), 4)
