"""Token models: every token has its own label, its own gradient, and perhaps no part in the loss."""

import numpy as np

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import IGNORED, MIX, SOFTPLUS, TANH, Draw, pad, pool
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.question.network import LayerSpec


def _mixing(d: Draw, activation: LayerSpec = TANH, outputs: int = 3) -> list[LayerSpec]:
    """Two layers with a bias and a mean over earlier tokens between them."""
    return [d.linear("fc1", 3, 4), activation, MIX, d.linear("fc2", 4, outputs)]


@recipe(
    "tokens/hostile-padding",
    "UnequalLengths HostilePadding TokenMixing NonZeroMeanInput OddLastBatch",
)
def hostile_padding(d: Draw) -> Case:
    """Padding that is seen by nobody, and fatal to who looks."""
    layers, x, y = _mixing(d), d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (4, 2, 3, 4, 1, 4, 3))  # causal mixing never looks at what comes after
    return d.case(layers, x, y)


@recipe("tokens/zero-padding", "UnequalLengths ZeroPadding TokenMixing OddLastBatch")
def zero_padding(d: Draw) -> Case:
    """Padding of zeros: its bias is 1 all the same, and its tokens count in a careless mean."""
    layers, x, y = _mixing(d), d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (3, 1, 4, 2), filling=0.0)
    return d.case(layers, x, y)


@recipe("tokens/equal-lengths", "EqualLengths TokenMixing NonZeroMeanInput")
def equal_lengths(d: Draw) -> Case:
    """Every token counts."""
    return d.case(_mixing(d), d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3))


@recipe("tokens/no-mixing", "EqualLengths SquareLayer")
def no_mixing(d: Draw) -> Case:
    """Tokens apart: the gradient of a token is a row of rank one, and no more."""
    return d.case(d.mlp(3, 3, 3), d.normal(12, 4, 3, mean=0.5), d.classes(3, 12, 4))


@recipe("tokens/square-no-bias", "SquareLayer NoBias TokenMixing UnequalLengths HostilePadding")
def square_no_bias(d: Draw) -> Case:
    """Square layers without biases."""
    layers = [d.linear("fc1", 4, 4, bias=False), TANH, MIX, d.linear("fc2", 4, 4, bias=False)]
    x, y = d.normal(11, 3, 4, mean=0.5), d.classes(4, 11, 3)
    pad(x, y, (3, 2, 3, 1))
    return d.case(layers, x, y)


@recipe("tokens/prompt", "IgnoredTokens UnequalLengths TokenMixing OddLastBatch")
def prompt(d: Draw) -> Case:
    """The first tokens are a prompt: they have no loss, but what follows looks at them."""
    layers, x, y = _mixing(d), d.normal(13, 5, 3, mean=0.5), d.classes(3, 13, 5)
    for n in range(len(y)):
        y[n, : 1 + n % 3] = IGNORED
    return d.case(layers, x, y)


@recipe("tokens/holes", "IgnoredTokens CustomIgnoreIndex TokenMixing EqualLengths")
def holes(d: Draw) -> Case:
    """Ignored tokens in the middle, under a label of their own that is a class's number elsewhere."""
    layers, x, y = _mixing(d, SOFTPLUS), d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    y[np.arange(13), np.arange(13) % 4] = 255
    return d.case(layers, x, y, loss=LossSpec("cross_entropy", ignore_index=255))


@recipe("tokens/ignored-class", "IgnoredTokens CustomIgnoreIndex UnequalLengths TokenMixing")
def ignored_class(d: Draw) -> Case:
    """Class 0 is the ignored one: an implementation that tests for -100 or for < 0 counts it."""
    layers, x, y = _mixing(d), d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    y[:, 0] = 1 + y[:, 0] % 2  # every example counts a token
    return d.case(layers, x, y, loss=LossSpec("cross_entropy", ignore_index=0))


@recipe("tokens/pooled", "PooledPositions OddLastBatch")
def pooled(d: Draw) -> Case:
    """Tokens are averaged before the loss: one label an example, and factors differ by sharing."""
    layers = [d.linear("fc1", 3, 4), TANH, pool(1), d.linear("fc2", 4, 3)]
    return d.case(layers, d.normal(13, 4, 3, mean=0.5), d.classes(3, 13))


@recipe("tokens/regression", "SquaredError TokenMixing")
def regression(d: Draw) -> Case:
    """A squared error at every token."""
    layers, x, y = _mixing(d, outputs=2), d.normal(12, 3, 3, mean=0.5), d.normal(12, 3, 2)
    return d.case(layers, x, y, loss=LossSpec("squared_error"))


@recipe("tokens/weighted", "ClassWeights LabelSmoothing UnequalLengths HostilePadding TokenMixing")
def weighted(d: Draw) -> Case:
    """Class weights and smoothing beside padding."""
    layers, x, y = _mixing(d), d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (4, 2, 1, 3))
    loss = LossSpec("cross_entropy", class_weight=(0.25, 1.0, 2.0), label_smoothing=0.125)
    return d.case(layers, x, y, loss=loss)


@recipe("tokens/two-axes", "TokenGrid TokenMixing SquareLayer EqualLengths")
def two_axes(d: Draw) -> Case:
    """Two token axes: whoever takes axis 1 for all tokens drops the second."""
    layers = [d.linear("fc1", 3, 3), TANH, MIX, d.linear("fc2", 3, 3)]
    return d.case(layers, d.normal(11, 2, 3, 3, mean=0.5), d.classes(3, 11, 2, 3))
