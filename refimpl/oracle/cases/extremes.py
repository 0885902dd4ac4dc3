"""Degenerate and badly conditioned cases: what is rare, and what rounding makes hard."""

from collections.abc import Callable

import numpy as np

from refimpl.oracle.cases.draw import IGNORED, MIX, RELU, SOFTPLUS, TANH, Draw
from refimpl.oracle.question.case import Case, LossSpec

__all__ = ["CASES"]


def _dead_unit(d: Draw) -> Case:
    layers = [d.linear("fc1", 4, 4), RELU, d.linear("fc2", 4, 3)]
    d.parameters["fc1.bias"][1] = -64.0  # it never fires: a row and a column of zeros
    x = d.normal(13, 4, mean=0.5)
    return d.case(layers, x, d.classes(3, 13), "DeadUnit", "PiecewiseLinear", "OddLastBatch")


def _constant_input(d: Draw) -> Case:
    """One input is always 1, beside a bias: A is singular, its null vector no unit vector."""
    layers = [d.linear("fc1", 4, 3), TANH, d.linear("fc2", 3, 3)]
    x = d.normal(13, 4, mean=0.5)
    x[:, 2] = 1.0
    return d.case(layers, x, d.classes(3, 13), "ConstantInput", "NonZeroMeanInput")


def _repeated_example(d: Draw) -> Case:
    """Every example twice, with two labels: what is keyed by the input loses one of them."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    x, y = d.normal(8, 3, mean=0.5), d.classes(3, 13)
    x = np.concatenate([x[:5], x[:5], x[5:]])
    return d.case(layers, x, y, "RepeatedExample", "SquareLayer", "OddLastBatch")


def _one_example(d: Draw) -> Case:
    """N = 1: K-FAC is the Gauss-Newton block, n - 1 is zero, and there is one batch."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    return d.case(layers, d.normal(4, 3, mean=0.5), d.classes(3, 4), "OneExample", "RankDeficient")


def _one_class(d: Draw) -> Case:
    """One class, C = 1: probability one, no gradient, no curvature; every score is zero."""
    layers = [d.linear("fc1", 3, 2), TANH, d.linear("fc2", 2, 1)]
    return d.case(
        layers, d.normal(10, 3, mean=0.5), np.zeros(10, np.int64), "OneClass", "ZeroCurvature"
    )


def _one_label(d: Draw) -> Case:
    """Every training example has the same label: batches of one class."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    y = d.classes(3, 13)
    y[:10] = 1
    return d.case(layers, d.normal(13, 3, mean=0.5), y, "OneLabel", "LabelsDisagree")


def _empty_example(d: Draw) -> Case:
    """An example of which no token counts: its gradient is zero and it counts in N."""
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3)
    y[[2, 9]] = IGNORED
    return d.case(layers, x, y, "EmptyExample", "UnequalLengths", "TokenMixing", "OddLastBatch")


def _few_examples(d: Draw) -> Case:
    """Fewer examples than inputs: A and G have null spaces, the damping is all there is."""
    layers = [d.linear("fc1", 6, 3), TANH, d.linear("fc2", 3, 3)]
    return d.case(
        layers, d.normal(7, 6, mean=0.5), d.classes(3, 7), "RankDeficient", "OnesNullVector"
    )


def _tiny_damping(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "TinyDamping", damping=1e-8)


def _large_damping(d: Draw) -> Case:
    """The damping dwarfs the curvature: scores are gradient products over lambda."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "LargeDamping", damping=1024.0
    )


def _saturated(d: Draw) -> Case:
    """Probabilities within 1e-4 of 1: differences from 1 lose their digits."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3, scale=12.0)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "SaturatedSoftmax", damping=1e-4
    )


def _large_logits(d: Draw) -> Case:
    """Logits near 1000: exp overflows unless the largest is taken off first."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    d.parameters["fc2.bias"] = d.parameters["fc2.bias"] + 1000.0
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "LargeLogits")


def _collinear(d: Draw) -> Case:
    """Inputs close to a line: eigenvalues of A fall by a factor of a thousand each."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    line, off = d.normal(13, 1, mean=0.5), d.normal(13, 3)
    x = line * np.array([1.0, -0.5, 2.0]) + off * np.array([0, 1, 1]) / 16
    return d.case(layers, x, d.classes(3, 13), "CollinearInputs", "GradedSpectrum", damping=1e-4)


def _graded(d: Draw) -> Case:
    """Inputs of very different size: small entries hide behind large ones in every norm."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 2)]
    x = d.normal(13, 3, mean=0.5) * np.array([1.0, 2.0**-4, 2.0**-6])
    return d.case(
        layers, x, d.normal(13, 2), "GradedInputs", "GradedSpectrum", damping=1e-6,
        loss=LossSpec("squared_error"),
    )  # fmt: skip


def _large_inputs(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 3, scale=2.0**-8), SOFTPLUS, d.linear("fc2", 3, 3)]
    x = d.normal(13, 3, mean=0.5) * 256
    return d.case(layers, x, d.classes(3, 13), "LargeInputs", "NonZeroMeanInput")


def _whitened(d: Draw) -> Case:
    """A is the identity: every basis is an eigenbasis, and EK-FAC differs by which one is taken."""
    signs = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])  # Hadamard
    x = np.concatenate([2 * np.eye(4), signs, d.normal(3, 4)])
    layers = [d.linear("fc1", 4, 3, bias=False), TANH, d.linear("fc2", 3, 3)]
    return d.case(layers, x, d.classes(3, 11), "DegenerateSpectrum", "NoBias")


def _one_hot(d: Draw) -> Case:
    """One-hot inputs, as often each: repeated eigenvalues by design of the data."""
    layers = [d.linear("fc1", 4, 3, bias=False), TANH, d.linear("fc2", 3, 3)]
    x = np.concatenate([np.tile(np.eye(4), (3, 1)), np.eye(4)[:3]])
    return d.case(layers, x, d.classes(3, 15), "DegenerateSpectrum", "OneHotInput", "NoBias")


def _equal_logits(d: Draw) -> Case:
    """S of the last layer is (I - 1 1^T / C) / C: a repeated eigenvalue, harmless as S is constant."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 4)]
    d.parameters["fc2.weight"][:] = 0.0
    d.parameters["fc2.bias"][:] = 0.0
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(4, 13), "HarmlessDegeneracy", "ZeroCurvature"
    )


CASES: dict[str, Callable[[Draw], Case]] = {
    "degenerate/dead-unit": _dead_unit,
    "degenerate/constant-input": _constant_input,
    "degenerate/repeated-example": _repeated_example,
    "degenerate/one-example": _one_example,
    "degenerate/one-class": _one_class,
    "degenerate/one-label": _one_label,
    "degenerate/empty-example": _empty_example,
    "degenerate/few-examples": _few_examples,
    "degenerate/whitened": _whitened,
    "degenerate/one-hot": _one_hot,
    "degenerate/equal-logits": _equal_logits,
    "conditioning/tiny-damping": _tiny_damping,
    "conditioning/large-damping": _large_damping,
    "conditioning/saturated-softmax": _saturated,
    "conditioning/large-logits": _large_logits,
    "conditioning/collinear": _collinear,
    "conditioning/graded-inputs": _graded,
    "conditioning/large-inputs": _large_inputs,
}
