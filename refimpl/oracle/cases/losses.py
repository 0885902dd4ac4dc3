"""Losses and their options: factors of two, weights, classes."""

from collections.abc import Callable

import numpy as np

from refimpl.oracle.cases.draw import TANH, Draw
from refimpl.oracle.question.case import Case, LossSpec

__all__ = ["CASES"]


def _squared_error(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.normal(13, 3, scale=2.0), "SquaredError",
        "LargeResiduals", "OddLastBatch", loss=LossSpec("squared_error"),
    )  # fmt: skip


def _one_output(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 1)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.normal(13, 1), "SquaredError", "OneOutput",
        loss=LossSpec("squared_error"),
    )  # fmt: skip


def _linear_regression(d: Draw) -> Case:
    """Linear in its parameters: objectives are quadratic, and a response is one solve at any weight."""
    return d.case(
        [d.linear("fc", 3, 2)], d.normal(13, 3, mean=0.5), d.normal(13, 2, scale=2.0),
        "SquaredError", "LinearNetwork", "OddLastBatch", loss=LossSpec("squared_error"),
    )  # fmt: skip


def _deep_linear(d: Draw) -> Case:
    """No activation, squared error: K-FAC is the Gauss-Newton block (Bernacchia et al. 2018)."""
    layers = [d.linear("fc1", 3, 4), d.linear("fc2", 4, 2)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.normal(13, 2), "SquaredError", "LinearNetwork",
        loss=LossSpec("squared_error"),
    )  # fmt: skip


def _binary(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    y = d.classes(2, 13, 3).astype(np.float64)
    return d.case(
        layers, d.normal(13, 3, mean=0.5), y, "BinaryOutputs", "OddLastBatch",
        loss=LossSpec("binary_cross_entropy"),
    )  # fmt: skip


def _pos_weight(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    y = d.classes(2, 13, 3).astype(np.float64)
    return d.case(
        layers, d.normal(13, 3, mean=0.5), y, "BinaryOutputs", "PosWeight",
        loss=LossSpec("binary_cross_entropy", pos_weight=(3.0, 0.5, 1.5)),
    )  # fmt: skip


def _soft_binary(d: Draw) -> Case:
    """Targets between 0 and 1, as in distillation."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 2)]
    y = d.classes(5, 13, 2) / 4
    return d.case(
        layers, d.normal(13, 3, mean=0.5), y, "BinaryOutputs", "SoftTargets",
        loss=LossSpec("binary_cross_entropy"),
    )  # fmt: skip


def _class_weights(d: Draw) -> Case:
    """One class counts nothing: its examples have no gradient and no curvature, but count in N."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    y = d.classes(3, 13)
    y[:3] = (0, 1, 2)
    return d.case(
        layers, d.normal(13, 3, mean=0.5), y, "ClassWeights", "OddLastBatch",
        loss=LossSpec("cross_entropy", class_weight=(0.0, 0.5, 4.0)),
    )  # fmt: skip


def _smoothing(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "LabelSmoothing",
        loss=LossSpec("cross_entropy", label_smoothing=0.25),
    )  # fmt: skip


def _smoothing_and_weights(d: Draw) -> Case:
    """Together: the curvature's weight is sum_c w_c q_c, neither w_y nor 1."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "LabelSmoothing", "ClassWeights",
        loss=LossSpec("cross_entropy", class_weight=(0.5, 1.0, 3.0), label_smoothing=0.25),
    )  # fmt: skip


def _two_classes(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 2)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(2, 13), "OnesNullVector", "OddLastBatch"
    )


CASES: dict[str, Callable[[Draw], Case]] = {
    "losses/squared-error": _squared_error,
    "losses/one-output": _one_output,
    "losses/linear-regression": _linear_regression,
    "losses/deep-linear": _deep_linear,
    "losses/binary": _binary,
    "losses/pos-weight": _pos_weight,
    "losses/soft-binary": _soft_binary,
    "losses/class-weights": _class_weights,
    "losses/label-smoothing": _smoothing,
    "losses/smoothing-and-weights": _smoothing_and_weights,
    "losses/two-classes": _two_classes,
}
