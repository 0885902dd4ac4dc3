"""Tokens: what is encoded comes back, and a completion is all that a query counts."""

import math

import pytest
import torch

import refimpl as ri
from validation.data import Vocabulary, complete, completions, next_token
from validation.models import networks

ABC = Vocabulary("abc")


def test_decoding_undoes_encoding_and_what_is_not_listed_is_refused_or_marked() -> None:
    ids = ABC.encode("cab")
    assert ids.tolist() == [2, 0, 1]
    assert ids.dtype == torch.int64
    assert ABC.decode(ids) == "cab"
    assert len(ABC) == 3
    with pytest.raises(ValueError, match="'x' in 'axb' is not among"):
        ABC.encode("axb")
    marked = Vocabulary("ab?", "?")
    assert marked.decode(marked.encode("axb")) == "a?b"
    assert ABC.decode(torch.tensor([0, -100, 1])) == "ab"
    assert ABC.encode("").shape == (0,)


def test_each_target_is_the_token_after_its_input() -> None:
    windows = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6]])
    inputs, targets = next_token(windows)
    assert inputs.tolist() == [[3, 1, 4], [5, 9, 2]]
    assert targets.tolist() == [[1, 4, 1], [9, 2, 6]]


def test_only_tokens_after_the_prompt_count() -> None:
    targets = torch.tensor([[1, 2, 3, 4]])
    assert complete(targets, 1).tolist() == [[1, 2, 3, 4]]
    assert complete(targets, 3).tolist() == [[-100, -100, 3, 4]]
    assert complete(targets, 4).tolist() == [[-100, -100, -100, 4]]
    assert targets.tolist() == [[1, 2, 3, 4]]
    for prompt in (0, 5):
        with pytest.raises(ValueError, match=f"a prompt of {prompt} tokens in windows of 5"):
            complete(targets, prompt)


def test_completions_are_shifted_padded_and_masked() -> None:
    (ids, mask), targets = completions([("a", "b"), ("ab", "ca")], ABC, length=5)
    assert ids.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert targets.tolist() == [[1, -100, -100], [-100, 2, 0]]


def test_a_query_is_the_log_probability_of_its_completion() -> None:
    generator = torch.Generator().manual_seed(0)
    model = networks.transformer(3, 4, 2, 2, 3, 6, generator)
    pairs = [("a", "bca"), ("cba", "cb"), ("bb", "aaaaa")]
    inputs, targets = completions(pairs, ABC, length=6)
    log_likelihood = ri.losses.CrossEntropy().log_likelihood(model(*inputs), targets)
    for (prompt, completion), value in zip(pairs, log_likelihood.tolist(), strict=True):
        expected = torch.zeros((), dtype=torch.float64)
        for k, character in enumerate(completion):  # one character at a time, unpadded
            logits = model(ABC.encode(prompt + completion[:k])[None])[0, -1]
            expected = expected + logits.log_softmax(dim=0)[ABC.encode(character)[0]]
        # a few thousand roundings, each of a term of size 1
        assert math.isclose(value, expected.item(), rel_tol=1e-13)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no .* pair was given"),
        ([("", "a")], "prompt '' and completion 'a'"),
        ([("a", "")], "prompt 'a' and completion ''"),
        ([("a", "b"), ("ab", "cab")], r"at most length \+ 1 = 4, they have 5"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        completions(pairs, ABC, length=3)
