"""The plain data that a page is drawn from, and how to look figures up in it.

Everything here is JSON: a study, a ladder or anyone's script may make it. Only `format`, `name`,
`title`, `setting`, `curvatures`, `agreement` and `provenance` must be there; a page leaves out what
is not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

__all__ = [
    "FORMAT",
    "Cell",
    "Contrast",
    "CurvatureEntry",
    "Example",
    "Figure",
    "Gallery",
    "Query",
    "Reference",
    "Responses",
    "Results",
    "Scatter",
    "Solves",
    "Statistic",
    "TopExamples",
    "across_seeds",
    "cell",
    "contrast",
    "dampings",
    "find",
]


# Raised whenever a page could no longer be drawn from what was written before.
FORMAT = 1


class Statistic(TypedDict):
    """A way in which two sets of scores agree."""

    name: str
    label: str
    better: str  # "higher" or "lower"
    plotted: NotRequired[bool]  # whether it has a drawing of its own; default: it has


class Reference(TypedDict):
    """What scores are compared with."""

    name: str
    title: str
    short: str  # as a sentence has it: "removing an example"
    caption: str
    kind: str  # "curvature" (another way to the same scores) or "outcome" (what really happened)
    chance: NotRequired[dict[str, float]]  # by statistic: what unrelated scores would reach


class CurvatureEntry(TypedDict):
    """A curvature, in the order of the tables; variants share their family's colour."""

    name: str
    family: str
    description: str


class Figure(TypedDict):
    """One agreement figure: the mean over queries of a statistic, with its 95 % interval."""

    seed: int
    reference: str
    damping: float
    curvature: str
    statistic: str
    value: float | None
    low: float | None
    high: float | None
    undefined: NotRequired[int]  # queries for which it is undefined, left out


class Contrast(TypedDict):
    """A paired difference, first less second, of two curvatures in one statistic."""

    seed: int
    reference: str
    damping: float
    statistic: str
    first: str
    second: str
    value: float | None
    low: float | None
    high: float | None


class Scatter(TypedDict):
    """Predicted against measured changes, a random part of all pairs."""

    seed: int
    reference: str
    damping: float
    pairs: int
    measured: list[float]
    predicted: dict[str, list[float]]  # by curvature


class Responses(TypedDict):
    """How well each of the retrainings of one kind was solved."""

    seed: int
    reference: str
    damping: float
    tolerance: float
    examples: list[int]
    relative_gradient_norm: list[float | None]
    iterations: list[int]
    converged: list[bool]
    error_bar: float | None  # bound on the measurement's error over its typical size, median


class Solves(TypedDict):
    """How well the linear systems of one curvature were solved."""

    seed: int
    damping: float
    curvature: str
    solves: int
    missed: int
    backward_error: float
    tolerance: float


class Example(TypedDict):
    """A training example shown beside a query; `change` is the predicted change of its loss."""

    index: int
    label: str
    loss: float
    change: float
    image: list[list[float]]
    shared: bool  # also among the other curvature's most influential


class Query(TypedDict):
    """A query with its most helpful and most harmful training examples."""

    index: int
    label: str
    predicted: str
    loss: float
    image: list[list[float]]
    helpful: list[Example]
    harmful: list[Example]


class Gallery(TypedDict):
    """Queries and their most influential examples, by one curvature."""

    seed: int
    curvature: str
    other: str
    damping: float
    threshold: float
    notable: int
    queries_total: int
    chosen: str  # how the queries shown were chosen
    queries: list[Query]


class TopExamples(TypedDict):
    """What the most influential examples are like: means over queries, with intervals."""

    seed: int
    group: str  # "most helpful", "most harmful"
    curvature: str
    damping: float
    count: int
    queries: int
    scope: str  # which queries
    same_label: list[float | None]  # value, low, high
    chance_label: float
    loss_percentile: list[float | None]
    mean_loss: float
    mean_loss_all: float
    deciles: list[float]  # share of the top examples in each tenth of the training losses


class Results(TypedDict):
    """Everything that one page shows."""

    format: int  # FORMAT
    name: str
    title: str
    setting: str
    curvatures: list[CurvatureEntry]
    agreement: list[Figure]
    provenance: dict[str, Any]
    facts: NotRequired[list[list[str]]]
    truth: NotRequired[str]
    ladder: NotRequired[list[str]]
    headline: NotRequired[dict[str, Any]]  # damping, curvature, statistic
    references: NotRequired[list[Reference]]
    statistics: NotRequired[list[Statistic]]
    contrasts: NotRequired[list[Contrast]]
    scatter: NotRequired[list[Scatter]]
    responses: NotRequired[list[Responses]]
    solves: NotRequired[list[Solves]]
    gallery: NotRequired[Gallery]
    top_examples: NotRequired[list[TopExamples]]


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
