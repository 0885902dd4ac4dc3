"""Look figures up in plain results, each over all seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from refimpl.report.results import Results

__all__ = ["Cell", "across_seeds", "cell", "contrast", "dampings", "find", "narrowed"]


@dataclass(frozen=True)
class Cell:
    """A figure with its interval; over several seeds, the mean with the hull of the intervals."""

    value: float
    low: float
    high: float
    seeds: int = 1
    undefined: int = 0

    def overlaps(self, other: "Cell") -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high


def find(records: Iterable[Any], **where: Any) -> list[Any]:
    """The records whose fields have the given values."""
    return [r for r in records if all(r[field] == value for field, value in where.items())]


def narrowed(results: Results, **where: Any) -> Results:
    """The results with only the agreement figures that match, so that later look-ups scan few."""
    return {**results, "agreement": find(results["agreement"], **where)}


def across_seeds(records: Iterable[Any]) -> Cell | None:
    """One figure from the records of all seeds: their mean, and the hull of their intervals.

    The hull is wider than an interval for the mean: it also shows how much seeds differ.

    Args:
        records: Records with value, low and high; those without a value are left out.
    """
    known = [r for r in records if r["value"] is not None]
    if not known:
        return None
    lows = [r["value"] if r["low"] is None else r["low"] for r in known]
    highs = [r["value"] if r["high"] is None else r["high"] for r in known]
    undefined = sum(r.get("undefined", 0) for r in known)
    mean = sum(r["value"] for r in known) / len(known)
    return Cell(mean, min(lows), max(highs), len(known), undefined)


def cell(
    results: Results, reference: str, damping: float, curvature: str, statistic: str
) -> Cell | None:
    """One agreement figure, over all seeds; None where it was not measured."""
    return across_seeds(
        find(
            results["agreement"],
            reference=reference,
            damping=damping,
            curvature=curvature,
            statistic=statistic,
        )
    )


def contrast(
    results: Results, reference: str, damping: float, first: str, second: str, statistic: str
) -> Cell | None:
    """One paired difference, over all seeds; None where it was not measured."""
    return across_seeds(
        find(
            results.get("contrasts", []),
            reference=reference,
            damping=damping,
            first=first,
            second=second,
            statistic=statistic,
        )
    )


def dampings(results: Results) -> list[float]:
    """Every damping measured, the largest first."""
    return sorted({f["damping"] for f in results["agreement"]}, reverse=True)
