"""Passages: the right ink under every token, and no token lost."""

from typing import Any

import pytest

from refimpl.report.passages import inked, scale, visible


def test_the_scale_is_the_largest_influence_of_the_query_whatever_its_side(passages: Any) -> None:
    query, silent = passages["queries"]
    assert scale(query) == 0.1
    assert scale(silent) == 0.0


def test_hue_tells_the_sign_and_strength_the_size(passages: Any) -> None:
    query = passages["queries"][0]
    tokens = [(t.text, t.side, t.strength) for t in inked(query["helpful"][0], scale(query))]
    assert tokens == [("<", "up", 50), ("b", "", 0), ("\n", "up", 12), ("&", "down", 5)]
    assert inked(query["harmful"][0], scale(query))[0].strength == 100


def test_only_tokens_above_a_fifth_of_the_scale_carry_their_value(passages: Any) -> None:
    passage = passages["queries"][0]["helpful"][0]
    passage |= {"influence": [0.021, -0.021, 0.02, -0.02], "change": 0.0}
    assert [t.title for t in inked(passage, 0.1)] == ["+0.0210", "\u22120.0210", "", ""]


def test_without_any_influence_nothing_is_inked(passages: Any) -> None:
    passage = passages["queries"][0]["helpful"][0] | {"influence": [0.0] * 4, "change": 0.0}
    assert [t.side for t in inked(passage, 0.0)] == [""] * 4


def test_tokens_without_text_are_left_out(passages: Any) -> None:
    passage = passages["queries"][0]["helpful"][0] | {"tokens": ["<", "", "", "&"]}
    assert [t.text for t in inked(passage, 0.1)] == ["<", "&"]


def test_influences_must_be_as_many_as_tokens(passages: Any) -> None:
    passage = passages["queries"][0]["helpful"][0]
    passage["tokens"].append("c")
    with pytest.raises(ValueError, match="passage 1 has 5 tokens and 4 influences"):
        inked(passage, 0.1)


@pytest.mark.parametrize("change", [-0.0575, 0.0575 / 2, 0.0575 * 16, 0.0576, 0.0])
def test_influences_must_sum_to_the_change(change: float, passages: Any) -> None:
    passage = passages["queries"][0]["helpful"][0] | {"change": change}
    with pytest.raises(ValueError, match=r"passage 1 sum to 0\.0575, its change is"):
        inked(passage, 0.1)


def test_four_digits_are_enough(passages: Any) -> None:
    # Every influence has the largest relative error that rounding to four digits can make, and all
    # in one direction: 1.0005 becomes 1.000.
    exact = [1.00049e-2, -2.00049e-7, 1.00049e-2, 1.00049e-2]
    rounded = [float(f"{v:.4g}") for v in exact]
    assert sum(rounded) != sum(exact)
    passage = passages["queries"][0]["helpful"][0]
    inked(passage | {"change": sum(exact), "influence": rounded}, 0.1)


def test_text_is_escaped_and_line_ends_are_marked() -> None:
    assert visible("a <b>\n\n&") == (
        'a &lt;b&gt;<span class="return">\n</span><span class="return">\n</span>&amp;'
    )
