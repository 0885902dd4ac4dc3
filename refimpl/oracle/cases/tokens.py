"""Token models: every token has its own label, its own gradient, and perhaps no part in the loss."""

from collections.abc import Callable, Sequence

import numpy as np

from refimpl.oracle.cases.draw import IGNORED, MIX, SOFTPLUS, TANH, Draw, pool
from refimpl.oracle.question.case import Array, Case, LossSpec

__all__ = ["CASES"]

HUGE = 1024.0  # what padding holds: seen by nobody, and fatal to who looks


def pad(inputs: Array, labels: Array, lengths: Sequence[int], filling: float = HUGE) -> None:
    """Cut every example to its length: what follows is `filling` and is ignored.

    Args:
        inputs: [N, T, D], changed in place.
        labels: [N, T], changed in place.
        lengths: Of each example, repeated as often as needed.
        filling: What padding holds.
    """
    for n in range(len(inputs)):
        end = lengths[n % len(lengths)]
        inputs[n, end:] = filling
        labels[n, end:] = IGNORED


def _hostile_padding(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (4, 2, 3, 4, 1, 4, 3))  # causal mixing never looks at what comes after
    return d.case(
        layers, x, y, "UnequalLengths", "HostilePadding", "TokenMixing", "NonZeroMeanInput",
        "OddLastBatch",
    )  # fmt: skip


def _zero_padding(d: Draw) -> Case:
    """Padding of zeros: its bias is 1 all the same, and its tokens count in a careless mean."""
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (3, 1, 4, 2), filling=0.0)
    return d.case(layers, x, y, "UnequalLengths", "ZeroPadding", "TokenMixing", "OddLastBatch")


def _equal_lengths(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3), "EqualLengths", "TokenMixing",
        "NonZeroMeanInput",
    )  # fmt: skip


def _no_mixing(d: Draw) -> Case:
    """Tokens apart: the gradient of a token is a row of rank one, and no more."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    return d.case(
        layers, d.normal(12, 4, 3, mean=0.5), d.classes(3, 12, 4), "EqualLengths", "SquareLayer"
    )


def _square_no_bias(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 4, 4, bias=False), TANH, MIX, d.linear("fc2", 4, 4, bias=False)
    ]  # fmt: skip
    x, y = d.normal(11, 3, 4, mean=0.5), d.classes(4, 11, 3)
    pad(x, y, (3, 2, 3, 1))
    return d.case(
        layers, x, y, "SquareLayer", "NoBias", "TokenMixing", "UnequalLengths", "HostilePadding"
    )


def _prompt(d: Draw) -> Case:
    """The first tokens are a prompt: they have no loss, but what follows looks at them."""
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 5, 3, mean=0.5), d.classes(3, 13, 5)
    for n in range(len(y)):
        y[n, : 1 + n % 3] = IGNORED
    return d.case(layers, x, y, "IgnoredTokens", "UnequalLengths", "TokenMixing", "OddLastBatch")


def _holes(d: Draw) -> Case:
    """Ignored tokens in the middle, under a label of their own that is a class's number elsewhere."""
    layers = [d.linear("fc1", 3, 4), SOFTPLUS, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    y[np.arange(13), np.arange(13) % 4] = 255
    return d.case(
        layers, x, y, "IgnoredTokens", "CustomIgnoreIndex", "TokenMixing", "EqualLengths",
        loss=LossSpec("cross_entropy", ignore_index=255),
    )  # fmt: skip


def _ignored_class(d: Draw) -> Case:
    """Class 0 is the ignored one: an implementation that tests for -100 or for < 0 counts it."""
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    y[:, 0] = 1 + y[:, 0] % 2  # every example counts a token
    return d.case(
        layers, x, y, "IgnoredTokens", "CustomIgnoreIndex", "UnequalLengths", "TokenMixing",
        loss=LossSpec("cross_entropy", ignore_index=0),
    )  # fmt: skip


def _pooled(d: Draw) -> Case:
    """Tokens are averaged before the loss: one label an example, and factors differ by sharing."""
    layers = [d.linear("fc1", 3, 4), TANH, pool(1), d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 4, 3, mean=0.5), d.classes(3, 13), "PooledPositions", "OddLastBatch"
    )


def _regression(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 2)]
    return d.case(
        layers, d.normal(12, 3, 3, mean=0.5), d.normal(12, 3, 2), "SquaredError", "TokenMixing",
        loss=LossSpec("squared_error"),
    )  # fmt: skip


def _weighted(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 4, 3, mean=0.5), d.classes(3, 13, 4)
    pad(x, y, (4, 2, 1, 3))
    loss = LossSpec("cross_entropy", class_weight=(0.25, 1.0, 2.0), label_smoothing=0.125)
    return d.case(
        layers, x, y, "ClassWeights", "LabelSmoothing", "UnequalLengths", "HostilePadding",
        "TokenMixing", loss=loss,
    )  # fmt: skip


def _two_axes(d: Draw) -> Case:
    """Two token axes: whoever takes axis 1 for all tokens drops the second."""
    layers = [d.linear("fc1", 3, 3), TANH, MIX, d.linear("fc2", 3, 3)]
    return d.case(
        layers, d.normal(11, 2, 3, 3, mean=0.5), d.classes(3, 11, 2, 3), "TokenGrid", "TokenMixing",
        "SquareLayer", "EqualLengths",
    )  # fmt: skip


CASES: dict[str, Callable[[Draw], Case]] = {
    "tokens/hostile-padding": _hostile_padding,
    "tokens/zero-padding": _zero_padding,
    "tokens/equal-lengths": _equal_lengths,
    "tokens/no-mixing": _no_mixing,
    "tokens/square-no-bias": _square_no_bias,
    "tokens/prompt": _prompt,
    "tokens/holes": _holes,
    "tokens/ignored-class": _ignored_class,
    "tokens/pooled": _pooled,
    "tokens/regression": _regression,
    "tokens/weighted": _weighted,
    "tokens/two-axes": _two_axes,
}
