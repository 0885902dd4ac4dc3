"""Degenerate and badly conditioned cases: what is rare, and what rounding makes hard."""

import numpy as np

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import IGNORED, MIX, RELU, SOFTPLUS, TANH, Draw
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec


@recipe("degenerate/dead-unit", "DeadUnit PiecewiseLinear OddLastBatch")
def dead_unit(d: Draw) -> Case:
    """A unit that never fires: a row and a column of zeros."""
    layers = d.mlp(4, 4, 3, activation=RELU)
    d.parameters["fc1.bias"][1] = -64.0
    return d.case(layers, d.normal(13, 4, mean=0.5), d.classes(3, 13))


@recipe("degenerate/constant-input", "ConstantInput NonZeroMeanInput")
def constant_input(d: Draw) -> Case:
    """One input is always 1, beside a bias: A is singular, its null vector no unit vector."""
    layers, x = d.mlp(4, 3, 3), d.normal(13, 4, mean=0.5)
    x[:, 2] = 1.0
    return d.case(layers, x, d.classes(3, 13))


@recipe("degenerate/repeated-example", "RepeatedExample SquareLayer OddLastBatch")
def repeated_example(d: Draw) -> Case:
    """Every example twice, with two labels: what is keyed by the input loses one of them."""
    layers, x, y = d.mlp(3, 3, 3), d.normal(8, 3, mean=0.5), d.classes(3, 13)
    return d.case(layers, np.concatenate([x[:5], x[:5], x[5:]]), y)


@recipe("degenerate/one-example", "OneExample RankDeficient")
def one_example(d: Draw) -> Case:
    """N = 1: K-FAC is the Gauss-Newton block, n - 1 is zero, and there is one batch."""
    return d.case(d.mlp(3, 3, 3), d.normal(4, 3, mean=0.5), d.classes(3, 4))


@recipe("degenerate/one-class", "OneClass ZeroCurvature")
def one_class(d: Draw) -> Case:
    """One class, C = 1: probability one, no gradient, no curvature; every score is zero."""
    return d.case(d.mlp(3, 2, 1), d.normal(10, 3, mean=0.5), np.zeros(10, np.int64))


@recipe("degenerate/one-label", "OneLabel LabelsDisagree")
def one_label(d: Draw) -> Case:
    """Every training example has the same label: batches of one class."""
    layers, y = d.mlp(3, 4, 3), d.classes(3, 13)
    y[:10] = 1
    return d.case(layers, d.normal(13, 3, mean=0.5), y)


@recipe("degenerate/empty-example", "EmptyExample UnequalLengths TokenMixing OddLastBatch")
def empty_example(d: Draw) -> Case:
    """An example of which no token counts: its gradient is zero and it counts in N."""
    layers = [d.linear("fc1", 3, 4), TANH, MIX, d.linear("fc2", 4, 3)]
    x, y = d.normal(13, 3, 3, mean=0.5), d.classes(3, 13, 3)
    y[[2, 9]] = IGNORED
    return d.case(layers, x, y)


@recipe("degenerate/few-examples", "RankDeficient OnesNullVector")
def few_examples(d: Draw) -> Case:
    """Fewer examples than inputs: A and G have null spaces, the damping is all there is."""
    return d.case(d.mlp(6, 3, 3), d.normal(7, 6, mean=0.5), d.classes(3, 7))


@recipe("degenerate/whitened", "DegenerateSpectrum NoBias")
def whitened(d: Draw) -> Case:
    """A is the identity: every basis is an eigenbasis, and EK-FAC differs by which one is taken."""
    hadamard = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    x = np.concatenate([2 * np.eye(4), hadamard, d.normal(3, 4)])
    layers = [d.linear("fc1", 4, 3, bias=False), TANH, d.linear("fc2", 3, 3)]
    return d.case(layers, x, d.classes(3, 11))


@recipe("degenerate/one-hot", "DegenerateSpectrum OneHotInput NoBias")
def one_hot(d: Draw) -> Case:
    """One-hot inputs, as often each: repeated eigenvalues by design of the data."""
    layers = [d.linear("fc1", 4, 3, bias=False), TANH, d.linear("fc2", 3, 3)]
    x = np.concatenate([np.tile(np.eye(4), (3, 1)), np.eye(4)[:3]])
    return d.case(layers, x, d.classes(3, 15))


@recipe("degenerate/equal-logits", "HarmlessDegeneracy ZeroCurvature")
def equal_logits(d: Draw) -> Case:
    """S of the last layer is (I - 1 1^T / C) / C: a repeated eigenvalue, harmless as S is constant."""
    layers = d.mlp(3, 3, 4)
    d.parameters["fc2.weight"][:] = 0.0
    d.parameters["fc2.bias"][:] = 0.0
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(4, 13))


@recipe("conditioning/tiny-damping", "TinyDamping")
def tiny_damping(d: Draw) -> Case:
    """The damping is far below the curvature."""
    return d.case(d.mlp(3, 4, 3), d.normal(13, 3, mean=0.5), d.classes(3, 13), damping=1e-8)


@recipe("conditioning/large-damping", "LargeDamping")
def large_damping(d: Draw) -> Case:
    """The damping dwarfs the curvature: scores are gradient products over lambda."""
    return d.case(d.mlp(3, 4, 3), d.normal(13, 3, mean=0.5), d.classes(3, 13), damping=1024.0)


@recipe("conditioning/saturated-softmax", "SaturatedSoftmax")
def saturated_softmax(d: Draw) -> Case:
    """Probabilities within 1e-4 of 1: differences from 1 lose their digits."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3, scale=12.0)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), damping=1e-4)


@recipe("conditioning/large-logits", "LargeLogits")
def large_logits(d: Draw) -> Case:
    """Logits near 1000: exp overflows unless the largest is taken off first."""
    layers = d.mlp(3, 3, 3)
    d.parameters["fc2.bias"] = d.parameters["fc2.bias"] + 1000.0
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13))


@recipe("conditioning/collinear", "CollinearInputs GradedSpectrum")
def collinear(d: Draw) -> Case:
    """Inputs close to a line: eigenvalues of A fall by a factor of a thousand each."""
    layers, line, off = d.mlp(3, 3, 3), d.normal(13, 1, mean=0.5), d.normal(13, 3)
    x = line * np.array([1.0, -0.5, 2.0]) + off * np.array([0, 1, 1]) / 16
    return d.case(layers, x, d.classes(3, 13), damping=1e-4)


@recipe("conditioning/graded-inputs", "GradedInputs GradedSpectrum")
def graded_inputs(d: Draw) -> Case:
    """Inputs of very different size: small entries hide behind large ones in every norm."""
    layers, loss = d.mlp(3, 3, 2), LossSpec("squared_error")
    x = d.normal(13, 3, mean=0.5) * np.array([1.0, 2.0**-4, 2.0**-6])
    return d.case(layers, x, d.normal(13, 2), damping=1e-6, loss=loss)


@recipe("conditioning/large-inputs", "LargeInputs NonZeroMeanInput")
def large_inputs(d: Draw) -> Case:
    """Inputs near 256."""
    layers = [d.linear("fc1", 3, 3, scale=2.0**-8), SOFTPLUS, d.linear("fc2", 3, 3)]
    return d.case(layers, d.normal(13, 3, mean=0.5) * 256, d.classes(3, 13))
