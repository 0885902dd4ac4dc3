"""Bands within which sampled quantities lie around their exact values with high probability."""

import math
from typing import TypeVar

import numpy as np
import scipy
from torch import Tensor

from refimpl.oracle.question.case import Array

__all__ = [
    "MISSED",
    "bernstein",
    "draws_needed",
    "laurent_massart",
    "of_variance_band",
    "smallest_seen",
    "variance_band",
]

# Power is stated as the error that is seen with probability 1 - MISSED.
MISSED = 1e-3

# A function of one kind of number returns that kind; pyright sees numpy widen it.
Number = TypeVar("Number", float, Tensor, Array)


def bernstein(variance: Number, largest: Number, count: int, alpha: float) -> Number:
    """Band of the mean of independent bounded units, not necessarily identically distributed.

    P(|mean - mu| > t) <= alpha for t = bL/3M + sqrt((bL/3M)^2 + 2vL/M), L = ln(2 / alpha): Bernstein's
    inequality (Boucheron, Lugosi & Massart 2013, corollary 2.11), solved for t. Valid at every M.

    Args:
        variance: v, the mean of the units' variances.
        largest: b, the largest |X_k - E X_k| that any unit can take.
        count: M, the number of units.
        alpha: Probability of a false alarm.
    """
    L = math.log(2 / alpha)
    linear = largest * (L / (3 * count))
    return linear + (linear**2 + variance * (2 * L / count)) ** 0.5  # pyright: ignore[reportReturnType]


def laurent_massart(square: Number, largest: Number, count: int, alpha: float) -> Number:
    """Band of the mean of independent quadratic forms z_k^T K_k z_k, z_k ~ N(0, I), K_k >= 0.

    P(|mean - mu| > t) <= alpha for t = 2 sqrt(v'L/M) + 2b'L/M, L = ln(2 / alpha): Laurent & Massart
    2000, lemma 1, whose weights are the eigenvalues of all K_k together.

    Args:
        square: v', the mean of ||K_k||_F^2, half the mean variance.
        largest: b', the largest ||K_k||_2.
        count: M, the number of units.
        alpha: Probability of a false alarm.
    """
    L = math.log(2 / alpha)
    return 2 * (square * (L / count)) ** 0.5 + 2 * largest * (L / count)  # pyright: ignore[reportReturnType]


def variance_band(seeds: int, alpha: float, widening: float = 1.6) -> tuple[float, float]:
    """Band of s^2 / v for the sample variance s^2 over seeds of a statistic of variance v.

    For a normal statistic (R - 1) s^2 / v is chi-square with R - 1 degrees of freedom. Means over a
    few hundred units are only nearly normal, so the band is widened on both sides by a factor. That
    factor is a heuristic against kurtosis and no bound.

    Args:
        seeds: R.
        alpha: Probability of a false alarm.
        widening: The factor, >= 1; 1 for a normal statistic.
    """
    freedom = seeds - 1
    low, high = (
        scipy.stats.chi2.ppf(alpha / 2, freedom) / freedom,
        scipy.stats.chi2.isf(alpha / 2, freedom) / freedom,
    )
    return float(low) / widening, float(high) * widening


def of_variance_band(ratios: Array, seeds: int, alpha: float) -> Array:
    """The share of `variance_band` that each ratio s^2 / v uses: at most 1 within the band.

    Args:
        ratios: s^2 / v, one per probe.
        seeds: R.
        alpha: Probability of a false alarm.
    """
    low, high = variance_band(seeds, alpha)
    with np.errstate(divide="ignore"):
        return np.maximum(ratios / high, low / ratios)


def draws_needed(
    delta: float, cv: float, largest: float | None, alpha: float, missed: float = MISSED
) -> int:
    """Draws M that let a mean off by delta mu leave its band with probability 1 - missed.

    The least M with t(M) + z sigma / sqrt(M) <= delta mu, z the normal quantile of `missed`: the band
    holds for every M, the power is asymptotic. For alpha = 1e-6, cv = 1, b = 10 mu:

    | delta     |   1 | 0.5 |  0.25 |   0.1 |   0.05 |    0.02 |
    | z-test    |  64 | 255 | 1 020 | 6 372 | 25 485 | 159 276 |
    | Bernstein | 176 | 492 | 1 551 | 8 170 | 30 696 | 184 504 |

    Args:
        delta: Relative error to detect, > 0.
        cv: Coefficient of variation sigma / mu.
        largest: b / mu for Bernstein's band; None: the band of the plain z-test.
        alpha: Probability of a false alarm.
        missed: Probability of missing the error.
    """
    z = float(scipy.stats.norm.isf(missed))
    if largest is None:
        return math.ceil(((float(scipy.stats.norm.isf(alpha / 2)) + z) * cv / delta) ** 2)
    low, high = 1, 2
    while _reach(high, cv, largest, alpha, z) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        seen = _reach(middle, cv, largest, alpha, z) <= delta
        low, high = (low, middle) if seen else (middle, high)
    return high


def _reach(count: int, cv: float, largest: float, alpha: float, z: float) -> float:
    return bernstein(cv**2, largest, count, alpha) + z * cv / count**0.5


def smallest_seen(
    mean: Number, variance: Number, band: Number, count: int, missed: float = MISSED
) -> Number:
    """The least relative error delta that leaves a band with probability 1 - missed, asymptotically.

    The error multiplies every unit by 1 + delta, deviation and all:
    delta mu = t + z (1 + delta) sigma / sqrt(M). A factor 1 - delta is seen more easily.

    Args:
        mean: mu.
        variance: v, the mean of the units' variances.
        band: t.
        count: M.
        missed: Probability of missing the error.
    """
    noise = (variance / count) ** 0.5 * float(scipy.stats.norm.isf(missed))
    return (band + noise) / (mean - noise)  # pyright: ignore[reportReturnType]
