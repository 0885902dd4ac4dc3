"""The character task: the stream of the post's code, and queries that it did not show."""

import re

import pytest
import torch

from validation.data import character_windows


def whole(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The windows that inputs and next-token targets were cut from."""
    return torch.cat([ids, targets[:, -1:]], dim=1)


def test_training_windows_slide_along_the_stream_as_in_the_post() -> None:
    windows = character_windows(10, 0)
    split, decode = windows.split, windows.vocabulary.decode
    assert split.inputs.shape == split.targets.shape == (195, 4)
    assert torch.equal(split.inputs[:, 1:], split.targets[:, :-1])
    texts = [decode(row) for row in whole(split.inputs, split.targets)]
    # as the post's code gives them: after z comes a, after 9 comes 0
    assert texts[:4] == ["a0b1c", "0b1c2", "b1c2d", "1c2d3"]
    assert texts[18:20] == ["j9k0l", "9k0l1"]
    assert texts[50:52] == ["z5a6b", "5a6b7"]
    assert texts[194] == "t7u8v"
    assert len(set(texts)) == 195
    assert windows.places == tuple(range(195))
    assert len(windows.vocabulary) == 36


def test_letters_and_digits_alternate_and_count_upwards() -> None:
    windows = character_windows(60, 3, seen=False)
    for row in whole(windows.split.query_inputs, windows.split.query_targets):
        text = windows.vocabulary.decode(row)
        assert re.fullmatch(r"([a-z]\d){2}[a-z]|(\d[a-z]){2}\d", text)
        for kind, period, first in ((str.isalpha, 26, "a"), (str.isdigit, 10, "0")):
            numbers = [ord(c) - ord(first) for c in text if kind(c)]
            steps = [(b - a) % period for a, b in zip(numbers[:-1], numbers[1:], strict=True)]
            assert set(steps) == {1}


def test_unseen_queries_hold_pairs_that_training_does_not() -> None:
    windows = character_windows(60, 0)
    split, decode = windows.split, windows.vocabulary.decode
    training = {decode(row)[:2] for row in whole(split.inputs, split.targets)}
    queries = [decode(row) for row in whole(split.query_inputs, split.query_targets)]
    assert len(set(queries)) == 60
    assert not training & {text[:2] for text in queries}


def test_seen_queries_are_training_windows() -> None:
    windows = character_windows(20, 0, seen=True)
    assert set(windows.query_places) <= set(windows.places)
    for k, place in enumerate(windows.query_places):
        assert torch.equal(windows.split.query_inputs[k], windows.split.inputs[place])
        assert torch.equal(windows.split.query_targets[k], windows.split.targets[place])


def test_a_seed_fixes_the_draws() -> None:
    one, same, other = (character_windows(9, seed, train=50) for seed in (0, 0, 1))
    assert one.places == same.places
    assert torch.equal(one.split.query_inputs, same.split.query_inputs)
    assert one.places != other.places
    assert one.query_places != other.query_places
    assert one.split.inputs.shape == (50, 4)
    assert len(set(one.places)) == 50


def test_windows_may_be_longer_and_queries_none() -> None:
    windows = character_windows(0, 0, length=60, window=9)
    assert windows.split.inputs.shape == (51, 8)
    assert windows.split.query_inputs.shape == (0, 8)


@pytest.mark.parametrize(("length", "window"), [(261, 5), (200, 1), (5, 5)])
def test_sizes_that_do_not_fit_are_refused(length: int, window: int) -> None:
    with pytest.raises(ValueError, match=f"window {window} and length {length}"):
        character_windows(1, 0, length=length, window=window)


def test_more_windows_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="61 query windows asked for, there are 60"):
        character_windows(61, 0)
    with pytest.raises(ValueError, match="196 training windows asked for, there are 195"):
        character_windows(1, 0, train=196)
