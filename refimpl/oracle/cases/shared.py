"""Shared parameters: a module called twice, two modules with the same parameters, both with tokens."""

from collections.abc import Callable

from refimpl.oracle.cases.draw import MIX, TANH, Draw
from refimpl.oracle.cases.tokens import pad
from refimpl.oracle.question.case import Case

__all__ = ["CASES"]


def _called_twice(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 3, 3), TANH, {"op": "call", "name": "fc1"}, TANH, d.linear("fc2", 3, 3)
    ]  # fmt: skip
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "RepeatedCall", "SquareLayer",
        "OddLastBatch",
    )  # fmt: skip


def _tied(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 3, 3), TANH,
        {"op": "linear", "name": "twin", "bias": True, "like": "fc1"}, TANH, d.linear("fc2", 3, 3),
    ]  # fmt: skip
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "TiedWeights", "SquareLayer",
        "OddLastBatch",
    )  # fmt: skip


def _tied_tokens(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 3, 3, bias=False), TANH, MIX,
        {"op": "linear", "name": "twin", "bias": False, "like": "fc1"},
    ]  # fmt: skip
    x, y = d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3)
    pad(x, y, (3, 1, 2, 3))
    return d.case(
        layers, x, y, "TiedWeights", "UnequalLengths", "HostilePadding", "TokenMixing", "NoBias"
    )


def _recurrent(d: Draw) -> Case:
    """One module in a residual loop of three calls."""
    body = {"op": "residual", "body": [{"op": "call", "name": "step"}, TANH]}
    layers = [
        {"op": "residual", "body": [d.linear("step", 3, 3), TANH]}, body, body,
        d.linear("head", 3, 2),
    ]  # fmt: skip
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(2, 13), "RepeatedCall", "Residual",
        "SquareLayer",
    )  # fmt: skip


CASES: dict[str, Callable[[Draw], Case]] = {
    "shared/called-twice": _called_twice,
    "shared/tied": _tied,
    "shared/tied-tokens": _tied_tokens,
    "shared/recurrent": _recurrent,
}
