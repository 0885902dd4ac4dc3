"""Alternating letters and digits: the character task of the walk-through.

The walk-through says no more of it than "a 2-layer transformer trained on a basic next character
prediction task"; the rule stands in the code that it links to (nrimsky/InfluenceFunctions,
mini_transformer.py). One stream, in which letters and digits alternate and each kind counts upwards
and starts again after its last:

    a0b1c2d3e4f5g6h7i8j9k0l1 ... z5a6b7 ...

A sequence is a window of 5 characters of the first 200 (4 inputs, 4 targets), at each of the first
195 places. After a letter *and* a digit everything that follows is certain; the first target is
not: a letter has one digit in the first 52 characters and another in the next.

Left open by post and code: how well the model did, and any result of this experiment. Its queries
were training sequences. Ours may also be unseen ones: the stream repeats only after lcm(26, 10) = 130
pairs, so that its remaining places hold pairs of a letter and a digit that the first 200 characters
do not. The two counting rules still answer all their targets but the first, which pairs what was never
paired: count only the others (`complete(targets, 2)`).
"""

import string
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from validation.data.sequences import Vocabulary, next_token
from validation.data.split import Split

__all__ = ["Characters", "character_windows"]

LETTERS, DIGITS = string.ascii_lowercase, string.digits
PERIOD = 260  # characters, two for each of the lcm(26, 10) pairs


@dataclass(frozen=True)
class Characters:
    """Windows of the stream, and where in it each begins."""

    split: Split
    vocabulary: Vocabulary
    places: tuple[int, ...]
    query_places: tuple[int, ...]


def stream(start: int, length: int) -> str:
    """`length` characters of the endless stream, beginning at `start`."""
    return "".join(
        (LETTERS[k // 2 % 26], DIGITS[k // 2 % 10])[k % 2] for k in range(start, start + length)
    )


def character_windows(
    queries: int,
    seed: int,
    *,
    train: int | None = None,
    length: int = 200,
    window: int = 5,
    seen: bool = False,
) -> Characters:
    """Windows of alternating letters and digits; the first T characters predict the next each.

    Args:
        queries: Number of query windows, drawn at random.
        seed: Of the draws.
        train: Number of training windows, drawn at random; None: all, in order, as in the post.
        length: Characters of the stream that training windows come from, at most one period (260).
        window: Characters of a window, T + 1.
        seen: Whether queries are training windows, as in the post, or windows that begin in the
            rest of the period.

    Raises:
        ValueError: The sizes do not fit together, or more windows are asked for than there are.
    """
    if not 2 <= window < length <= PERIOD:
        raise ValueError(
            f"window {window} and length {length}: 2 <= window < length <= {PERIOD} is needed"
        )
    random = np.random.RandomState(seed)
    # The window at the last possible place is left out, as the post's code does.
    training = list(range(length - window))
    if train is not None:
        training = _draw(training, train, "training", random)
    others = list(range(length, PERIOD))
    chosen = _draw(training if seen else others, queries, "query", random)
    vocabulary = Vocabulary(LETTERS + DIGITS)

    def windows(places: list[int]) -> Int[Tensor, "N T_plus_1"]:
        rows = [vocabulary.encode(stream(place, window)) for place in places]
        return torch.stack(rows) if rows else torch.zeros(0, window, dtype=torch.int64)

    split = Split(*next_token(windows(training)), *next_token(windows(chosen)))
    return Characters(split, vocabulary, tuple(training), tuple(chosen))


def _draw(places: list[int], count: int, kind: str, random: np.random.RandomState) -> list[int]:
    if count > len(places):
        raise ValueError(f"{count} {kind} windows asked for, there are {len(places)}")
    return [places[k] for k in random.permutation(len(places))[:count]]
