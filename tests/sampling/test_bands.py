"""The bands alarm as rarely as they say and see what they say: exact tails, and simulations."""

import numpy as np
import pytest
import torch
from evidence import within
from sampling.bands import ALPHA, PROBES, SHARE, decide
from scipy.stats import binom, chi2, norm

from refimpl.oracle.truth.concentration import (
    MISSED,
    bernstein,
    draws_needed,
    laurent_massart,
    of_variance_band,
    smallest_seen,
    variance_band,
)

RUNS = 20_000
# Units 0, 1, 10 with mean 1 and variance 1, the largest rare.
VALUES, CHANCES = np.array([0.0, 1.0, 10.0]), np.array([9, 80, 1]) / 90


def means(count: int, runs: int, seed: int) -> np.ndarray:
    """Means of `count` units, one per run."""
    drawn = np.random.default_rng(seed).multinomial(count, CHANCES, size=runs)
    return drawn @ VALUES / count


def most(chance: float, runs: int = RUNS) -> float:
    """A number of events that is exceeded with probability at most SHARE: the exact binomial tail."""
    return float(binom.isf(SHARE, runs, chance))


def softmax_units(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (u^T (p - e_y))^2 and chances p [24 examples, 4 labels], some examples saturated."""
    rng = np.random.default_rng(seed)
    p = np.exp(2 * rng.standard_normal((24, 4)))
    p /= p.sum(axis=1, keepdims=True)
    u = rng.standard_normal(4)
    return ((p @ u)[:, None] - u) ** 2, p


def softmax_means(values: np.ndarray, p: np.ndarray, seed: int) -> np.ndarray:
    """Means over the 24 examples of one label each, RUNS times."""
    drawn = np.random.default_rng(seed).random((RUNS, len(p), 1)) > p.cumsum(axis=1)[:, :-1]
    return np.take_along_axis(values[None], drawn.sum(axis=2)[..., None], axis=2).mean(axis=(1, 2))


@pytest.mark.parametrize("alpha", [1e-2, 1e-6, pytest.param(SHARE, id="share")])
@pytest.mark.parametrize("count", [1, 24, 200, 5000])
@pytest.mark.parametrize("p", [0.001, 0.02, 0.3, 0.5])
def test_bernsteins_band_holds_the_exact_binomial_tails(p, count, alpha):
    t = bernstein(p * (1 - p), max(p, 1 - p), count, alpha)
    below = binom.cdf(np.ceil(count * (p - t)) - 1, count, p)
    within(below + binom.sf(np.floor(count * (p + t)), count, p), alpha)


@pytest.mark.parametrize("alpha", [1e-2, 1e-6, pytest.param(SHARE, id="share")])
@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize("count", [1, 10, 500])
def test_the_quadratic_band_holds_the_exact_chi_square_tails(count, size, alpha):
    # K = 1.7 I: the sum over all units is 1.7 chi-square with `size` x `count` degrees of freedom.
    t = laurent_massart(1.7**2 * size, 1.7, count, alpha) * count / 1.7
    freedom = size * count
    within(chi2.cdf(freedom - t, freedom) + chi2.sf(freedom + t, freedom), alpha)


def test_the_bands_cost_what_the_document_says():
    # For many units both bands are sqrt(2 L) sigma: 5.39 at 1e-6, where the normal quantile is 4.89.
    many = 10**12
    for band in (bernstein(1.0, 1.0, many, 1e-6), laurent_massart(0.5, 1.0, many, 1e-6)):
        assert round(band * many**0.5, 2) == 5.39
    assert round(norm.isf(5e-7), 2) == 4.89


def test_simulated_honest_draws_alarm_no_more_often_than_nominal():
    alpha = 1e-2
    values, p = softmax_units(1)
    mu, away = (values * p).sum(axis=1), values - (values * p).sum(axis=1)[:, None]
    deviations = softmax_means(values, p, 2) - mu.mean()
    variance = float((away**2 * p).sum(axis=1).mean())
    t = bernstein(variance, float(abs(away).max()), len(p), alpha)
    # Forms with the eigenvalues 1 and 3, 5 units of them.
    z = np.random.default_rng(3).chisquare(5, size=(RUNS, 2)) @ [1, 3] / 5
    quadratic = laurent_massart(1.0 + 9, 3.0, 5, alpha)
    low, high = variance_band(64, alpha, widening=1.0)
    plain = np.random.default_rng(4).standard_normal((RUNS, 64)).var(axis=1, ddof=1)
    low_wide, high_wide = variance_band(64, alpha)
    skewed = means(24, RUNS * 64, 5).reshape(RUNS, 64).var(axis=1, ddof=1) * 24
    alarms = [
        (abs(deviations) > t).sum(),
        (abs(z - 4) > quadratic).sum(),
        ((plain < low) | (plain > high)).sum(),
        ((skewed < low_wide) | (skewed > high_wide)).sum(),
    ]
    decide("false alarms of the bands", torch.tensor(alarms), most(alpha))


def test_the_simulation_catches_a_band_that_is_too_narrow():
    # The z-test on the same 24 labels, at 1e-4: "1.3e-3 on average, 4.6e-3 on the worst probe".
    values, p = softmax_units(1)
    away = values - (values * p).sum(axis=1)[:, None]
    deviations = softmax_means(values, p, 2) - (values * p).sum(axis=1).mean()
    sigma = ((away**2 * p).sum() / len(p) ** 2) ** 0.5
    assert (abs(deviations) > norm.isf(5e-5) * sigma).sum() > most(1e-4)
    # And the chi-square band without its widening, on a variance over seeds with kurtosis.
    low, high = variance_band(64, 1e-2, widening=1.0)
    skewed = means(24, RUNS * 64, 5).reshape(RUNS, 64).var(axis=1, ddof=1) * 24
    assert ((skewed < low) | (skewed > high)).sum() > most(1e-2)


def test_errors_of_the_stated_size_are_seen():
    missed = []
    for delta, count in ((0.5, 492), (0.1, 8170)):  # an error added to the mean
        t = bernstein(1.0, 10.0, count, 1e-6)
        missed.append((abs(means(count, RUNS, count) + delta - 1) <= t).sum())
    t = bernstein(1.0, 9.0, 2000, SHARE)  # a factor on every unit
    delta = smallest_seen(1.0, 1.0, t, 2000)
    missed.append((abs((1 + delta) * means(2000, RUNS, 6) - 1) <= t).sum())
    t = laurent_massart(1.0 + 9, 3.0, 2000, SHARE)
    delta = smallest_seen(4.0, 20.0, t, 2000)
    z = np.random.default_rng(7).chisquare(2000, size=(RUNS, 2)) @ [1, 3] / 2000
    missed.append((abs((1 + delta) * z - 4) <= t).sum())
    decide("errors missed", torch.tensor(missed), most(MISSED))


def test_an_error_much_smaller_than_stated_is_not_seen():
    t = bernstein(1.0, 9.0, 2000, SHARE)
    delta = smallest_seen(1.0, 1.0, t, 2000) / 2
    assert (abs((1 + delta) * means(2000, RUNS, 6) - 1) <= t).sum() > most(MISSED)


def test_the_numbers_of_draws_are_those_of_the_document():
    deltas = (1, 0.5, 0.25, 0.1, 0.05, 0.02)
    plain = [draws_needed(float(d), 1.0, None, 1e-6) for d in deltas]
    ours = [draws_needed(float(d), 1.0, 10.0, 1e-6) for d in deltas]
    assert plain == [64, 255, 1020, 6372, 25485, 159276]
    assert ours == [176, 492, 1551, 8170, 30696, 184504]


def test_the_chi_square_band_is_the_document_s():
    low, high = variance_band(64, 1e-6, widening=1.0)
    assert (round(low, 2), round(high, 2)) == (0.36, 2.13)


@pytest.mark.parametrize("seeds", [64, 128])
def test_variances_of_labels_that_are_not_independent_lie_outside_the_band(seeds):
    assert bool((of_variance_band(np.array([0.3, 1.0, 2.5]), seeds, SHARE) <= 1).all())
    wrong = np.array([0.0, 0.1, 10.0, float("nan")])
    assert not bool((of_variance_band(wrong, seeds, SHARE) <= 1).any())


def test_the_false_alarms_are_shared_by_all_probes_of_the_suite():
    assert SHARE * sum(PROBES.values()) == pytest.approx(ALPHA, rel=1e-12)
    with pytest.raises(AssertionError, match="PROBES"):
        decide("errors missed", torch.zeros(PROBES["errors missed"] + 1), 1.0)
    with pytest.raises(KeyError):
        decide("a comparison that PROBES does not know", torch.zeros(1), 1.0)
