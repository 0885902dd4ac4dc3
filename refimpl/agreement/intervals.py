"""Means over queries, each with an interval that says what another draw of queries would change.

Queries are the units that are drawn, never training examples: two scores of one query share
its gradient, and repeated training examples would be ties in every ranking. An interval therefore
covers the choice of queries, and nothing else: not the training data, not the seed of the training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float
from numpy import ndarray

__all__ = ["Estimate", "Interval", "difference", "mean_over_queries"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval; (nan, nan) with method "none" where a single query allows none."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Estimate:
    """A mean over queries.

    Args:
        value: The mean over the queries for which the statistic is defined; NaN when there is none.
        interval: Its confidence interval.
        per_query: The statistic of each query, NaN where it is undefined (constant scores).
        undefined: How many queries those are; they are left out of the mean.
    """

    value: float
    interval: Interval
    per_query: tuple[float, ...]
    undefined: int


def mean_over_queries(
    per_query: Float[ndarray, " Q"],
    *,
    level: float = 0.95,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The mean of a statistic over queries with its confidence interval.

    Hall's: Student's statistic, its skewness removed by a cubic transformation (Hall 1992, On the
    removal of skewness by transformation, J. R. Statist. Soc. B 54, section 2). Correlations are
    bounded by 1 and so skewed; without skewness it is Student's interval.

    What it covers at a level of 95 %, measured in 10,000 to 20,000 draws: 93.5 to 95.5 % at 20, 50
    and 200 queries of statistics that are normal, or as skewed as per-query correlations were found
    to be or more (skewness up to 2.2, excess kurtosis up to 10). Student's covers 92 % of the skewed
    ones at 20 queries, the bootstrap (BCa) less than Student's up to 50. Where the skewness lies in
    queries that few draws hold, no interval covers: 93 % at 20 queries of a skewness of -3.6; 90 %
    at 20, 92 % at 50 and 93.4 % at 200 of one of -9.

    Args:
        per_query: The statistic of each query, NaN where undefined.
        level: Confidence level.
        within: What the statistic cannot leave: the interval is cut there, which loses no coverage.

    Raises:
        ValueError: There is no query, a value is infinite, or the level is not in (0, 1).
    """
    estimate = _estimate(per_query, level, _hall)
    low, high = np.clip([estimate.interval.low, estimate.interval.high], *within).tolist()
    return replace(estimate, interval=replace(estimate.interval, low=low, high=high))


def _estimate(
    per_query: Float[ndarray, " Q"], level: float, interval: Callable[[ndarray, float], Interval]
) -> Estimate:
    values = np.asarray(per_query, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"expected one value per query, got an array of shape {values.shape}")
    if np.isinf(values).any():
        raise ValueError("a query's statistic is infinite")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    defined = values[~np.isnan(values)]
    value = float(defined.mean()) if len(defined) else float("nan")
    return Estimate(
        value, interval(defined, level), tuple(values.tolist()), len(values) - len(defined)
    )


def difference(first: Estimate, second: Estimate, *, level: float = 0.95) -> Estimate:
    """The mean paired difference, first - second, over the queries for which both are defined.

    The right way to say that one method beats another: the queries' own difficulty cancels, which
    two separate intervals would count twice.

    The interval is Student's: a difference of like methods is nearly symmetric with heavy tails, where
    an estimate of its skewness does harm. Measured as above, with excess kurtosis 2.7, Student's covers
    95 % at 20, 50 and 200 queries, Hall's 93, 94 and 95 %; with 18 (and skewness 2.7), either covers
    90, 92 and 94 %.

    Args:
        first: A statistic over some queries.
        second: The same statistic of another method over the same queries.
        level: Confidence level.

    Raises:
        ValueError: The two do not have the same number of queries.
    """
    if len(first.per_query) != len(second.per_query):
        raise ValueError(
            f"paired statistics need the same queries: {len(first.per_query)} and "
            f"{len(second.per_query)} were given"
        )
    return _estimate(np.subtract(first.per_query, second.per_query), level, _student)


def _student(values: Float[ndarray, " Q"], level: float) -> Interval:
    if (narrow := _degenerate(values, level)) is not None:
        return narrow
    width = float(np.ptp(values))  # scaled by it, so that no square underflows
    t = scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)
    half = float(width * t * (values / width).std(ddof=1) / len(values) ** 0.5)
    mean = float(values.mean())
    return Interval(mean - half, mean + half, level, "student")


def _hall(values: Float[ndarray, " Q"], level: float) -> Interval:
    if (narrow := _degenerate(values, level)) is not None:
        return narrow
    count, mean, width = len(values), float(values.mean()), float(np.ptp(values))
    z = (values - mean) / width  # of size 1, so that no power of it underflows
    k = float((z**3).mean() / z.std() ** 3) / count**0.5
    # Hall's g(T) = T + k T^2 / 3 + k^2 T^3 / 27 + k / 6 = ((1 + k T / 3)^3 - 1) / k + k / 6 is Student's
    # t to second order. T = (3 / k) (c - 1) with c^3 = 1 + k (t - k / 6), so that c - 1 is over
    # 1 + c + c^2 what c^3 - 1 is: nothing cancels, and k may be 0.
    tail = (1 - level) / 2
    t = scipy.stats.t.ppf([1 - tail, tail], count - 1) - k / 6
    c = np.cbrt(1 + k * t)
    low, high = mean - width * z.std(ddof=1) / count**0.5 * 3 * t / (1 + c + c**2)
    return Interval(float(low), float(high), level, "hall")


def _degenerate(values: Float[ndarray, " Q"], level: float) -> Interval | None:
    """What one query, or queries that are all alike, allow."""
    if len(values) < 2:
        return Interval(float("nan"), float("nan"), level, "none")
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]), level, "equal")
    return None
