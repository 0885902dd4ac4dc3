"""Next character on English prose: Python's own documentation, or a folder of the user's texts.

`pydoc_data.topics` ships with every Python: some 80 topics of the language reference, in
reStructuredText as `help()` shows it. What is done to a text before windows are cut from it:

- Paragraphs (between blank lines) that are not prose go: doctests, grammar, tables, and those of
  which less than 80 % is letters and spaces. In the rest, line breaks become spaces and underlines
  of headings go; other markup ("*name*", ""code"") stays.
- A paragraph of 40 characters or more that occurred before goes, in the largest text first: many
  topics repeat whole sections of others, and a query from one would be a copy of training text.
- Lower case, every digit as "0", typographic quotes and dashes as the plain ones, and "□" for any
  character that is then not among the 42 of `VOCABULARY`. A small alphabet leaves more of a small
  model to the prose.

A window is T + 1 contiguous characters, T inputs and T targets. Windows do not overlap and none
spans a paragraph that went. A fifth of the texts gives the queries, the others the training windows;
no query is found word for word in the training texts.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from torch import Tensor

from validation.data.sequences import Vocabulary, next_token
from validation.data.split import Split

__all__ = ["VOCABULARY", "Place", "Text", "folder_windows", "text_windows"]

OTHER = "□"
VOCABULARY = Vocabulary("abcdefghijklmnopqrstuvwxyz \n.,:;()\"'-_*=0" + OTHER, OTHER)
PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
REPEATABLE = 40  # characters below which a paragraph may occur twice ("Changed in version 3.8:")


class Place(NamedTuple):
    """Where a window comes from: characters sources[source][offset : offset + T + 1]."""

    source: str
    offset: int


@dataclass(frozen=True)
class Text:
    """Windows of text, their places, and the texts that they come from.

    `fingerprint` is the start of a hash of all texts used: another Python has other topics.
    """

    split: Split
    places: tuple[Place, ...]
    query_places: tuple[Place, ...]
    sources: Mapping[str, str]
    fingerprint: str
    vocabulary: Vocabulary = VOCABULARY


def text_windows(train: int, queries: int, length: int, seed: int) -> Text:
    """Windows of the documentation that ships with this Python; queries from topics of their own.

    Args:
        train: Number of training windows.
        queries: Number of query windows.
        length: T, inputs of a window.
        seed: Of the choice of query topics and of windows.

    Raises:
        ValueError: More windows are asked for than there are.
    """
    from pydoc_data.topics import topics  # half a megabyte, only for this

    return _windows(topics, "Python's documentation topics", train, queries, length, seed)


def folder_windows(folder: Path, train: int, queries: int, length: int, seed: int) -> Text:
    """Windows of the .txt files (UTF-8) in a folder; queries from files of their own.

    Args:
        folder: Holds at least two files whose names end in .txt.
        train: Number of training windows.
        queries: Number of query windows.
        length: T, inputs of a window.
        seed: Of the choice of query files and of windows.

    Raises:
        FileNotFoundError: There is no such folder, or no such file in it.
        ValueError: A file is not UTF-8, or more windows are asked for than there are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: give a folder that holds .txt files")
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise FileNotFoundError(f"no file in {folder} has a name that ends in .txt")
    texts: dict[str, str] = {}
    for file in files:
        try:
            texts[file.name] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 text ({error}): convert it") from error
    return _windows(texts, str(folder), train, queries, length, seed)


def _windows(
    texts: Mapping[str, str], whence: str, train: int, queries: int, length: int, seed: int
) -> Text:
    sources, places = _cut(texts, length + 1)
    names = [name for name in sources if places[name]]
    if len(names) < 2:
        raise ValueError(
            f"{whence}: {len(names)} of {len(texts)} texts have {length + 1} characters of prose on "
            "end. Two are needed, for queries come from texts that are not trained on: add texts, "
            "split them, or take shorter windows"
        )

    def window(place: Place) -> str:
        return sources[place.source][place.offset : place.offset + length + 1]

    random = np.random.RandomState(seed)
    random.shuffle(names)
    held_out = -(-len(names) // 5)
    # What little still stands in both parts (short paragraphs in a row) is no query.
    trained = "\n".join(sources[name] for name in names[held_out:])
    fresh = {
        name: [p for p in places[name] if window(p) not in trained] for name in names[:held_out]
    }
    query_places = _draw(names[:held_out], fresh, queries, "query", whence, random)
    training = _draw(names[held_out:], places, train, "training", whence, random)

    def encoded(chosen: tuple[Place, ...]) -> Int[Tensor, "N T_plus_1"]:
        ids = VOCABULARY.encode("".join(window(place) for place in chosen))
        return ids.reshape(len(chosen), length + 1)

    split = Split(*next_token(encoded(training)), *next_token(encoded(query_places)))
    used = json.dumps(sources, sort_keys=True).encode()
    return Text(split, training, query_places, sources, hashlib.sha256(used).hexdigest()[:12])


def _draw(
    names: list[str],
    places: Mapping[str, list[Place]],
    count: int,
    kind: str,
    whence: str,
    random: np.random.RandomState,
) -> tuple[Place, ...]:
    available = [place for name in names for place in places[name]]
    if count > len(available):
        raise ValueError(
            f"{count} {kind} windows asked for, {whence} has {len(available)} in {len(names)} "
            f"{kind} texts: ask for fewer or shorter ones"
        )
    return tuple(available[k] for k in random.permutation(len(available))[:count])


def _cut(texts: Mapping[str, str], width: int) -> tuple[dict[str, str], dict[str, list[Place]]]:
    """Cleaned texts, and the places of their windows, by name; the largest text first."""
    seen: set[str] = set()
    sources: dict[str, str] = {}
    places: dict[str, list[Place]] = {}
    for name in sorted(texts, key=lambda name: (-len(texts[name]), name)):
        sources[name], places[name] = "", []
        for run in _runs(texts[name], seen):
            first = len(sources[name])
            last = first + len(run) - width
            places[name] += [Place(name, offset) for offset in range(first, last + 1, width)]
            sources[name] += run
    return sources, places


def _runs(text: str, seen: set[str]) -> Iterator[str]:
    """Paragraphs that follow one another and stay, each ending its line; `seen` grows."""
    run = ""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines()]
        lines = [line for line in lines if not re.fullmatch(r"([*=\-~^\"])\1{2,}", line)]
        cleaned = _clean(lines)
        if _is_prose(lines) and cleaned not in seen:
            run += cleaned + "\n"
        elif cleaned:
            yield run
            run = ""
        if len(cleaned) >= REPEATABLE:
            seen.add(cleaned)
    yield run


def _is_prose(lines: list[str]) -> bool:
    if any("::=" in line or line.startswith((">>>", "|", "+-")) for line in lines):
        return False
    characters = "".join(lines)
    plain = sum(c.isalpha() or c == " " for c in characters)
    return plain >= 0.8 * len(characters) > 0


def _clean(lines: list[str]) -> str:
    words = " ".join(lines).split()
    plain = re.sub(r"\d", "0", " ".join(words).lower().translate(PLAIN))
    return "".join(c if c in VOCABULARY.characters else OTHER for c in plain)
