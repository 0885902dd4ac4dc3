"""Passages with each token on a coloured background as strong as its influence."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from refimpl.report import text
from refimpl.report.examples import Passage, PassageQuery

__all__ = ["Token", "inked", "scale", "visible"]

NAMED = 0.2  # tokens above this share of the scale show their value
ROUNDING = 5e-4  # of a number given to four significant digits, relative


@dataclass(frozen=True)
class Token:
    """A token on its background. `side` is "up" (raises the likelihood), "down" (lowers it) or ""."""

    text: str
    side: str
    strength: int  # in per cent of the scale
    title: str


def scale(query: PassageQuery) -> float:
    """The largest influence of any token in the passages of one query, without its sign."""
    passages = [*query["helpful"], *query["harmful"]]
    return max((abs(v) for p in passages for v in p["influence"]), default=0.0)


def inked(passage: Passage, scale: float) -> list[Token]:
    """The tokens of a passage with their colour; those that have no text are left out.

    Args:
        passage: With one influence per token.
        scale: The influence at full strength.

    Raises:
        ValueError: There is not one influence per token, or they do not sum to the change.
    """
    tokens, influence = passage["tokens"], passage["influence"]
    if len(tokens) != len(influence):
        raise ValueError(
            f"passage {passage['index']} has {len(tokens)} tokens and {len(influence)} influences: "
            "give one influence per token"
        )
    # Every summand, and the change itself, may be rounded to four digits.
    rounding = ROUNDING * (sum(abs(v) for v in influence) + abs(passage["change"]))
    if abs(sum(influence) - passage["change"]) > rounding:
        raise ValueError(
            f"the token influences of passage {passage['index']} sum to {sum(influence):g}, its "
            f"change is {passage['change']:g}: give both in the same unit, to four digits or more"
        )
    return [_token(t, v, scale) for t, v in zip(tokens, influence, strict=True) if t]


def _token(token: str, value: float, scale: float) -> Token:
    share = abs(value) / scale if scale > 0 else 0.0
    strength = round(100 * share)
    side = "" if strength == 0 else "up" if value > 0 else "down"
    return Token(token, side, strength, text.plus(value, 4) if share > NAMED else "")


def visible(plain: str) -> Markup:
    """Text whose line ends carry a faint return sign (drawn by the page's style)."""
    return Markup(escape(plain).replace("\n", Markup('<span class="return">\n</span>')))
