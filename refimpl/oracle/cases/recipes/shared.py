"""Shared parameters: a module called twice, two modules with the same parameters, both with tokens."""

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import MIX, TANH, Draw, pad
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.network import LayerSpec


def _call(name: str) -> LayerSpec:
    return {"op": "call", "name": name}


def _twin(like: str, *, bias: bool) -> LayerSpec:
    return {"op": "linear", "name": "twin", "bias": bias, "like": like}


@recipe("shared/called-twice", "RepeatedCall SquareLayer OddLastBatch")
def called_twice(d: Draw) -> Case:
    """A module that is called again."""
    layers = [d.linear("fc1", 3, 3), TANH, _call("fc1"), TANH, d.linear("fc2", 3, 3)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13))


@recipe("shared/tied", "TiedWeights SquareLayer OddLastBatch")
def tied(d: Draw) -> Case:
    """Two modules that hold one parameter."""
    layers = [d.linear("fc1", 3, 3), TANH, _twin("fc1", bias=True), TANH, d.linear("fc2", 3, 3)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13))


@recipe("shared/tied-tokens", "TiedWeights UnequalLengths HostilePadding TokenMixing NoBias")
def tied_tokens(d: Draw) -> Case:
    """The same with tokens and padding."""
    layers = [d.linear("fc1", 3, 3, bias=False), TANH, MIX, _twin("fc1", bias=False)]
    x, y = d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3)
    pad(x, y, (3, 1, 2, 3))
    return d.case(layers, x, y)


@recipe("shared/recurrent", "RepeatedCall Residual SquareLayer")
def recurrent(d: Draw) -> Case:
    """One module in a residual loop of three calls."""
    again = {"op": "residual", "body": [_call("step"), TANH]}
    first = {"op": "residual", "body": [d.linear("step", 3, 3), TANH]}
    layers = [first, again, again, d.linear("head", 3, 2)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(2, 13))
