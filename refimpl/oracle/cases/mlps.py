"""Multilayer perceptrons: one row an example."""

from collections.abc import Callable

from refimpl.oracle.cases.draw import GELU, RELU, SOFTPLUS, TANH, Draw
from refimpl.oracle.question.case import Case

__all__ = ["CASES"]


def _tanh_square(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13),
        "SquareLayer", "NonZeroMeanInput", "OddLastBatch", "OnesNullVector",
    )  # fmt: skip


def _square_no_bias(d: Draw) -> Case:
    layers = [d.linear("fc1", 4, 4, bias=False), TANH, d.linear("fc2", 4, 4, bias=False)]
    return d.case(
        layers, d.normal(12, 4, mean=0.5), d.classes(4, 12), "SquareLayer", "NoBias", "OddLastBatch"
    )


def _mixed_bias(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 3, 4), SOFTPLUS, d.linear("fc2", 4, 3, bias=False), TANH,
        d.linear("fc3", 3, 2),
    ]  # fmt: skip
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(2, 13), "MixedBias", "OddLastBatch", "Deep"
    )


def _gelu_deep(d: Draw) -> Case:
    layers = [
        d.linear("fc1", 3, 4), GELU, d.linear("fc2", 4, 4), GELU, d.linear("fc3", 4, 3), TANH,
        d.linear("fc4", 3, 3),
    ]  # fmt: skip
    return d.case(
        layers, d.normal(15, 3, mean=0.5), d.classes(3, 15), "Deep", "SquareLayer", "OnesNullVector"
    )


def _relu(d: Draw) -> Case:
    layers = [d.linear("fc1", 4, 4), RELU, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(15, 4, mean=0.5), d.classes(3, 15), "PiecewiseLinear", "NonZeroMeanInput"
    )


def _one_layer(d: Draw) -> Case:
    """Multinomial regression: the Gauss-Newton Hessian is the Hessian."""
    return d.case(
        [d.linear("fc", 4, 3)], d.normal(13, 4, mean=0.5), d.classes(3, 13),
        "OneLayer", "OnesNullVector", "OddLastBatch",
    )  # fmt: skip


def _labels_disagree(d: Draw) -> Case:
    layers = [d.linear("fc1", 4, 3), TANH, d.linear("fc2", 3, 4, scale=2.0)]
    x = d.normal(13, 4, mean=0.5)
    case = d.case(layers, x, d.classes(4, 13), "LabelsDisagree", "OddLastBatch")
    unlikely = case.problem.model(case.dataset().tensors[0]).argmin(dim=1).numpy()
    return case.but(labels=unlikely)


def _batch_of_one(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 3)]
    return d.case(
        layers, d.normal(10, 3, mean=0.5), d.classes(3, 10), "BatchOfOne", batch_size=1, damping=0.1
    )


def _uneven_batches(d: Draw) -> Case:
    """Batches of 6 and 1: a mean of the batches' means gives the last example six times its weight."""
    layers = [d.linear("fc1", 3, 4), TANH, d.linear("fc2", 4, 2)]
    return d.case(layers, d.normal(10, 3, mean=0.5), d.classes(2, 10), "OddLastBatch", batch_size=6)


def _frozen_first(d: Draw) -> Case:
    layers = [d.linear("fc1", 4, 4), TANH, d.linear("fc2", 4, 3), TANH, d.linear("fc3", 3, 3)]
    return d.case(
        layers, d.normal(13, 4, mean=0.5), d.classes(3, 13), "FrozenLayers", "SquareLayer",
        tracked=("fc2", "fc3"),
    )  # fmt: skip


def _frozen_middle(d: Draw) -> Case:
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3), TANH, d.linear("fc3", 3, 2)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(2, 13), "FrozenLayers", "SquareLayer",
        tracked=("fc1", "fc3"),
    )  # fmt: skip


def _backward_order(d: Draw) -> Case:
    """The flat vector begins with the layer that comes last in the model; both have one size."""
    layers = [d.linear("fc1", 3, 3), TANH, d.linear("fc2", 3, 3)]
    return d.case(
        layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), "LayerOrder", "SquareLayer",
        tracked=("fc2", "fc1"),
    )  # fmt: skip


CASES: dict[str, Callable[[Draw], Case]] = {
    "mlp/tanh-square": _tanh_square,
    "mlp/square-no-bias": _square_no_bias,
    "mlp/mixed-bias": _mixed_bias,
    "mlp/gelu-deep": _gelu_deep,
    "mlp/relu": _relu,
    "mlp/one-layer": _one_layer,
    "mlp/labels-disagree": _labels_disagree,
    "mlp/batch-of-one": _batch_of_one,
    "mlp/uneven-batches": _uneven_batches,
    "mlp/frozen-first": _frozen_first,
    "mlp/frozen-middle": _frozen_middle,
    "mlp/backward-order": _backward_order,
}
