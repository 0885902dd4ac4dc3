"""The plain data that a page is drawn from.

Everything here is JSON, from a study, a ladder or anyone's script. Only `format`, `name`, `title`,
`setting`, `curvatures`, `agreement` and `provenance` are required; a page leaves out what is absent.
"""

from typing import Any, Literal, NotRequired, TypedDict

from refimpl.report.examples import Gallery, Passages, TopExamples

__all__ = [
    "FORMAT",
    "Claim",
    "Contrast",
    "CurvatureEntry",
    "Figure",
    "Gap",
    "Reference",
    "Responses",
    "Results",
    "Scatter",
    "Solves",
    "Statistic",
    "Step",
    "Trace",
    "Verdict",
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
    # "curvature" (another way to the same scores), "outcome" (what really happened) or "use" (what
    # people do with scores)
    kind: str
    chance: NotRequired[dict[str, float]]  # by statistic: what unrelated scores would reach


class CurvatureEntry(TypedDict):
    """A curvature, in the order of the tables; variants share their family's colour."""

    name: str
    family: str
    description: str
    plotted: NotRequired[bool]  # whether it has lines in the drawings; default: it has


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


class Step(TypedDict):
    """What is lost from one rung of the ladder to the next: the lower one against the upper one."""

    seed: int
    damping: float
    upper: str
    lower: str
    statistic: str
    value: float | None
    low: float | None
    high: float | None
    undefined: NotRequired[int]


class Gap(Step):
    """What lies between two ways of finding the same changes, the lower one against the upper one."""

    term: str  # "warm start", "linearisation", ...


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
    damping: float | None  # None where no damping has a part in it
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


class Trace(TypedDict):
    """How an iterative solve converged: its mean relative residual after so many steps."""

    seed: int
    damping: float
    curvature: str
    steps: list[int]
    residuals: list[float]


Verdict = Literal["confirmed", "not confirmed", "undecided", "not measured"]


class Claim(TypedDict):
    """What was claimed elsewhere, beside what was measured here."""

    claim: str
    source: str
    measured: str  # the figure with its interval, as a reader wants it; may be empty
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    detail: str


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
    above: NotRequired[list[str]]  # curvatures that are no approximations of the truth
    ladder: NotRequired[list[str]]
    headline: NotRequired[dict[str, Any]]  # damping, curvature, statistic
    references: NotRequired[list[Reference]]
    statistics: NotRequired[list[Statistic]]
    contrasts: NotRequired[list[Contrast]]
    steps: NotRequired[list[Step]]
    gaps: NotRequired[list[Gap]]
    scatter: NotRequired[list[Scatter]]
    responses: NotRequired[list[Responses]]
    solves: NotRequired[list[Solves]]
    traces: NotRequired[list[Trace]]
    gallery: NotRequired[Gallery]
    passages: NotRequired[Passages]
    claims: NotRequired[list[Claim]]
    top_examples: NotRequired[list[TopExamples]]
