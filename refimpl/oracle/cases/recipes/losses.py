"""Losses and their options: factors of two, weights, classes."""

import numpy as np

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec

SQUARED, BINARY = LossSpec("squared_error"), LossSpec("binary_cross_entropy")


@recipe("losses/squared-error", "SquaredError LargeResiduals OddLastBatch")
def squared_error(d: Draw) -> Case:
    """Residuals of size 2."""
    layers, x = d.mlp(3, 4, 3), d.normal(13, 3, mean=0.5)
    return d.case(layers, x, d.normal(13, 3, scale=2.0), loss=SQUARED)


@recipe("losses/one-output", "SquaredError OneOutput")
def one_output(d: Draw) -> Case:
    """C = 1."""
    return d.case(d.mlp(3, 4, 1), d.normal(13, 3, mean=0.5), d.normal(13, 1), loss=SQUARED)


@recipe("losses/linear-regression", "SquaredError LinearNetwork OddLastBatch")
def linear_regression(d: Draw) -> Case:
    """Linear in its parameters: objectives are quadratic, and a response is one solve at any weight."""
    layers, x = [d.linear("fc", 3, 2)], d.normal(13, 3, mean=0.5)
    return d.case(layers, x, d.normal(13, 2, scale=2.0), loss=SQUARED)


@recipe("losses/deep-linear", "SquaredError LinearNetwork")
def deep_linear(d: Draw) -> Case:
    """No activation, squared error: K-FAC is the Gauss-Newton block (Bernacchia et al. 2018)."""
    layers = [d.linear("fc1", 3, 4), d.linear("fc2", 4, 2)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.normal(13, 2), loss=SQUARED)


@recipe("losses/binary", "BinaryOutputs OddLastBatch")
def binary(d: Draw) -> Case:
    """Outputs that are separate."""
    layers, y = d.mlp(3, 4, 3), d.classes(2, 13, 3).astype(np.float64)
    return d.case(layers, d.normal(13, 3, mean=0.5), y, loss=BINARY)


@recipe("losses/pos-weight", "BinaryOutputs PosWeight")
def pos_weight(d: Draw) -> Case:
    """A weight of positives for every output."""
    layers, y = d.mlp(3, 4, 3), d.classes(2, 13, 3).astype(np.float64)
    loss = LossSpec("binary_cross_entropy", pos_weight=(3.0, 0.5, 1.5))
    return d.case(layers, d.normal(13, 3, mean=0.5), y, loss=loss)


@recipe("losses/soft-binary", "BinaryOutputs SoftTargets")
def soft_binary(d: Draw) -> Case:
    """Targets between 0 and 1, as in distillation."""
    layers, y = d.mlp(3, 4, 2), d.classes(5, 13, 2) / 4
    return d.case(layers, d.normal(13, 3, mean=0.5), y, loss=BINARY)


@recipe("losses/class-weights", "ClassWeights OddLastBatch")
def class_weights(d: Draw) -> Case:
    """One class counts nothing: its examples have no gradient and no curvature, but count in N."""
    layers, y = d.mlp(3, 4, 3), d.classes(3, 13)
    y[:3] = (0, 1, 2)
    loss = LossSpec("cross_entropy", class_weight=(0.0, 0.5, 4.0))
    return d.case(layers, d.normal(13, 3, mean=0.5), y, loss=loss)


@recipe("losses/label-smoothing", "LabelSmoothing")
def smoothing(d: Draw) -> Case:
    """A quarter of each label is spread over the classes."""
    loss = LossSpec("cross_entropy", label_smoothing=0.25)
    return d.case(d.mlp(3, 4, 3), d.normal(13, 3, mean=0.5), d.classes(3, 13), loss=loss)


@recipe("losses/smoothing-and-weights", "LabelSmoothing ClassWeights")
def smoothing_and_weights(d: Draw) -> Case:
    """Together: the curvature's weight is sum_c w_c q_c, neither w_y nor 1."""
    loss = LossSpec("cross_entropy", class_weight=(0.5, 1.0, 3.0), label_smoothing=0.25)
    return d.case(d.mlp(3, 4, 3), d.normal(13, 3, mean=0.5), d.classes(3, 13), loss=loss)


@recipe("losses/two-classes", "OnesNullVector OddLastBatch")
def two_classes(d: Draw) -> Case:
    """C = 2."""
    return d.case(d.mlp(3, 3, 2), d.normal(13, 3, mean=0.5), d.classes(2, 13))
