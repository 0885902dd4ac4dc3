"""The plain data of single examples: pictures, passages, and what the most influential are like."""

from typing import NotRequired, TypedDict

__all__ = ["Example", "Gallery", "Passage", "PassageQuery", "Passages", "Query", "TopExamples"]


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
