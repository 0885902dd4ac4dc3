"""Text: windows that can be found where they say they are, and queries that were not trained on."""

import dataclasses
import random
import string
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch

from validation.data import Place, Text, folder_windows, text_windows
from validation.data.text import VOCABULARY

T = 64


@pytest.fixture(scope="module")
def corpus() -> Text:
    return text_windows(1500, 100, T, seed=0)


def windows(ids: torch.Tensor, targets: torch.Tensor) -> list[str]:
    """The windows that inputs and next-token targets were cut from."""
    assert torch.equal(ids[:, 1:], targets[:, :-1])
    return [VOCABULARY.decode(row) for row in torch.cat([ids, targets[:, -1:]], dim=1)]


def training(t: Text) -> list[str]:
    return windows(t.split.inputs, t.split.targets)


def queries(t: Text) -> list[str]:
    return windows(t.split.query_inputs, t.split.query_targets)


def test_windows_stand_where_their_places_say(corpus: Text) -> None:
    assert corpus.split.inputs.shape == (1500, T)
    assert corpus.split.query_inputs.shape == (100, T)
    at = [
        *zip(training(corpus), corpus.places, strict=True),
        *zip(queries(corpus), corpus.query_places, strict=True),
    ]
    assert len(at) == 1600
    for window, (source, offset) in at:
        assert window == corpus.sources[source][offset : offset + T + 1]
        assert source in topics


def test_windows_do_not_overlap(corpus: Text) -> None:
    places = sorted((*corpus.places, *corpus.query_places))
    for (source, offset), (other, following) in zip(places[:-1], places[1:], strict=True):
        assert source != other or following >= offset + T + 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_queries_come_from_topics_of_their_own_and_are_nowhere_in_the_training_topics(
    seed: int,
) -> None:
    corpus = text_windows(1500, 100, T, seed)
    trained = {place.source for place in corpus.places}
    asked = {place.source for place in corpus.query_places}
    assert not trained & asked
    assert len(asked) >= 5
    for window in queries(corpus):
        assert not any(window in corpus.sources[source] for source in trained)


def test_windows_are_contiguous_in_the_topic_itself(corpus: Text) -> None:
    # what cleaning changes apart (line breaks, markup of headings, digits, other signs), a window
    # is a piece of its topic
    def letters(t: str) -> str:
        return "".join(c for c in t.lower() if "a" <= c <= "z")

    whole = {name: letters(t) for name, t in topics.items()}
    for window, place in zip(training(corpus), corpus.places, strict=True):
        assert letters(window) in whole[place.source]


def test_the_alphabet_is_small_and_rarely_left(corpus: Text) -> None:
    joined = "".join(training(corpus))
    assert len(VOCABULARY) == 42
    assert len(set(VOCABULARY.characters)) == 42
    assert set(joined) <= set(VOCABULARY.characters)
    assert joined.count("□") < 0.005 * len(joined)
    assert sum("a" <= c <= "z" or c == " " for c in joined) > 0.9 * len(joined)


def test_a_seed_fixes_topics_and_windows(corpus: Text) -> None:
    same, other = text_windows(1500, 100, T, seed=0), text_windows(1500, 100, T, seed=1)
    assert same.places == corpus.places
    assert same.query_places == corpus.query_places
    assert torch.equal(same.split.query_inputs, corpus.split.query_inputs)
    assert other.query_places != corpus.query_places
    assert other.fingerprint == corpus.fingerprint


def folder(path: Path, **texts: str) -> Path:
    for name, content in texts.items():
        (path / f"{name}.txt").write_text(content, encoding="utf-8")
    return path


def sentences(first: int, last: int) -> str:
    """Paragraphs of letters, each its own."""
    letters = string.ascii_lowercase + "    "
    return "\n\n".join("".join(random.Random(k).choices(letters, k=72)) for k in range(first, last))


def test_a_folder_of_texts_gives_windows_of_its_files(tmp_path: Path) -> None:
    path = folder(tmp_path, one=sentences(0, 30), two=sentences(30, 40))
    corpus = folder_windows(path, 10, 5, 20, seed=0)
    assert corpus.split.inputs.shape == (10, 20)
    assert (
        len({p.source for p in corpus.places}) == len({p.source for p in corpus.query_places}) == 1
    )
    for window, place in zip(training(corpus), corpus.places, strict=True):
        assert window == corpus.sources[place.source][place.offset : place.offset + 21]
    changed = folder(tmp_path, two=sentences(30, 41))
    assert folder_windows(changed, 10, 5, 20, seed=0).fingerprint != corpus.fingerprint


def test_cleaning_keeps_prose_and_breaks_windows_where_something_went(tmp_path: Path) -> None:
    kept = "A heading\n*********\n\nProse in “quotes” – Déjà vu,\nthe words of which were written in 1997."
    code = ">>> print('code is not prose')\nno\n\nrule ::= other rules\n\n| table |\n\n1 + 1 == 2"
    after = "And what comes after it stands in another run of text."
    path = folder(tmp_path, one=f"{kept}\n\n{code}\n\n{after}", two=sentences(0, 9))
    corpus = folder_windows(path, 3, 1, 15, seed=0)
    assert corpus.sources["one.txt"] == (
        'a heading\nprose in "quotes" - d□j□ vu, the words of which were written in 0000.\n'
        + after.lower()
        + "\n"
    )
    starts = {p for p in (*corpus.places, *corpus.query_places) if p.source == "one.txt"}
    border = corpus.sources["one.txt"].index("and what")
    possible = {Place("one.txt", k) for k in (0, 16, 32, 48, 64, *range(border, border + 48, 16))}
    assert starts
    assert starts <= possible


def test_what_stands_in_two_texts_is_kept_in_the_larger(tmp_path: Path) -> None:
    path = folder(tmp_path, one=sentences(0, 6), two=sentences(3, 20), three=sentences(30, 40))
    corpus = folder_windows(path, 5, 2, 20, seed=0)
    assert corpus.sources["two.txt"].count("\n") == 17
    assert corpus.sources["one.txt"].count("\n") == 3


def test_folders_that_give_no_windows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        folder_windows(tmp_path / "nowhere", 1, 1, 20, 0)
    with pytest.raises(FileNotFoundError, match=r"ends in \.txt"):
        folder_windows(tmp_path, 1, 1, 20, 0)
    folder(tmp_path, one=sentences(0, 9), two="Too short.")
    with pytest.raises(ValueError, match="1 of 2 texts have 21 characters of prose on end"):
        folder_windows(tmp_path, 1, 1, 20, 0)
    (tmp_path / "two.txt").write_bytes(b"caf\xe9 " * 50)
    with pytest.raises(ValueError, match=r"two\.txt is not UTF-8"):
        folder_windows(tmp_path, 1, 1, 20, 0)


def test_more_windows_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"100000 training windows asked for, Python's .* has \d+"):
        text_windows(100000, 10, T, 0)
    with pytest.raises(ValueError, match="100000 query windows asked for"):
        text_windows(10, 100000, T, 0)


def test_a_text_cannot_be_changed(corpus: Text) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus.fingerprint = "another"  # type: ignore[misc]
