"""The plain data that a page is drawn from.

Everything here is JSON: a study, a ladder or anyone's script may make it. Only `format`, `name`,
`title`, `setting`, `curvatures`, `agreement` and `provenance` must be there; a page leaves out what
is not.
"""

from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "FORMAT",
    "Claim",
    "Contrast",
    "CurvatureEntry",
    "Example",
    "Figure",
    "Gallery",
    "Gap",
    "Passage",
    "PassageQuery",
    "Passages",
    "Query",
    "Reference",
    "Responses",
    "Results",
    "Scatter",
    "Solves",
    "Statistic",
    "Step",
    "TopExamples",
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


class Passage(TypedDict):
    """A training sequence shown below a query, with the influence of each of its tokens.

    `change` is the predicted change of the query's log-likelihood when the sequence's weight grows
    by 1/N. The tokens' influences sum to it; all are given to four significant digits or more.
    """

    index: int
    source: str  # where it comes from; may be empty
    change: float
    loss: float
    lead: str  # the text before the first predicted token
    tokens: list[str]  # one text per predicted token
    influence: list[float]  # of each token
    shared: bool  # also among the other curvature's most influential


class PassageQuery(TypedDict):
    """A prompt and its completion, with the sequences that make it more or less likely."""

    index: int
    prompt: str
    completion: str
    log_likelihood: float  # of the completion, given the prompt
    source: str  # "topic, offset", or empty
    helpful: list[Passage]  # those that raise the likelihood of the completion
    harmful: list[Passage]  # those that lower it


class Passages(TypedDict):
    """Queries and their most influential training sequences as text, by one curvature."""

    seed: int
    curvature: str
    other: NotRequired[str]  # the curvature whose agreement is marked
    damping: float
    chosen: str  # a sentence: how the queries shown were chosen
    queries_total: int
    notable: int
    threshold: float
    queries: list[PassageQuery]


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
