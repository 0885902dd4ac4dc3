"""Multilayer perceptrons: one row an example."""

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import GELU, RELU, SOFTPLUS, TANH, Draw
from refimpl.oracle.question.case import Case


@recipe("mlp/tanh-square", "SquareLayer NonZeroMeanInput OddLastBatch OnesNullVector")
def tanh_square(d: Draw) -> Case:
    """Two layers with as many outputs as inputs."""
    return d.case(d.mlp(3, 3, 3), d.normal(13, 3, mean=0.5), d.classes(3, 13))


@recipe("mlp/square-no-bias", "SquareLayer NoBias OddLastBatch")
def square_no_bias(d: Draw) -> Case:
    """The same without biases."""
    layers = [d.linear("fc1", 4, 4, bias=False), TANH, d.linear("fc2", 4, 4, bias=False)]
    return d.case(layers, d.normal(12, 4, mean=0.5), d.classes(4, 12))


@recipe("mlp/mixed-bias", "MixedBias OddLastBatch Deep")
def mixed_bias(d: Draw) -> Case:
    """A layer without a bias between two with one."""
    first, second = d.linear("fc1", 3, 4), d.linear("fc2", 4, 3, bias=False)
    layers = [first, SOFTPLUS, second, TANH, d.linear("fc3", 3, 2)]
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(2, 13))


@recipe("mlp/gelu-deep", "Deep SquareLayer OnesNullVector")
def gelu_deep(d: Draw) -> Case:
    """Four layers."""
    layers = [*d.mlp(3, 4, 4, 3, activation=GELU), TANH, d.linear("fc4", 3, 3)]
    return d.case(layers, d.normal(15, 3, mean=0.5), d.classes(3, 15))


@recipe("mlp/relu", "PiecewiseLinear NonZeroMeanInput")
def relu(d: Draw) -> Case:
    """An activation with a kink, which some overwrite in place."""
    return d.case(d.mlp(4, 4, 3, activation=RELU), d.normal(15, 4, mean=0.5), d.classes(3, 15))


@recipe("mlp/one-layer", "OneLayer OnesNullVector OddLastBatch")
def one_layer(d: Draw) -> Case:
    """Multinomial regression: the Gauss-Newton Hessian is the Hessian."""
    return d.case([d.linear("fc", 4, 3)], d.normal(13, 4, mean=0.5), d.classes(3, 13))


@recipe("mlp/labels-disagree", "LabelsDisagree OddLastBatch")
def labels_disagree(d: Draw) -> Case:
    """Every training label is the one that the model thinks least likely."""
    layers = [d.linear("fc1", 4, 3), TANH, d.linear("fc2", 3, 4, scale=2.0)]
    case = d.case(layers, d.normal(13, 4, mean=0.5), d.classes(4, 13))
    unlikely = case.problem.model(case.dataset().tensors[0]).argmin(dim=1).numpy()
    return case.but(labels=unlikely)


@recipe("mlp/batch-of-one", "BatchOfOne")
def batch_of_one(d: Draw) -> Case:
    """Batches of one example."""
    layers, x, y = d.mlp(3, 4, 3), d.normal(10, 3, mean=0.5), d.classes(3, 10)
    return d.case(layers, x, y, batch_size=1, damping=0.1)


@recipe("mlp/uneven-batches", "OddLastBatch")
def uneven_batches(d: Draw) -> Case:
    """Batches of 6 and 1: a mean of the batches' means gives the last example six times its weight."""
    return d.case(d.mlp(3, 4, 2), d.normal(10, 3, mean=0.5), d.classes(2, 10), batch_size=6)


@recipe("mlp/frozen-first", "FrozenLayers SquareLayer")
def frozen_first(d: Draw) -> Case:
    """The first layer is not tracked."""
    layers, tracked = d.mlp(4, 4, 3, 3), ("fc2", "fc3")
    return d.case(layers, d.normal(13, 4, mean=0.5), d.classes(3, 13), tracked=tracked)


@recipe("mlp/frozen-middle", "FrozenLayers SquareLayer")
def frozen_middle(d: Draw) -> Case:
    """The layer in the middle is not tracked."""
    layers, tracked = d.mlp(3, 3, 3, 2), ("fc1", "fc3")
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(2, 13), tracked=tracked)


@recipe("mlp/backward-order", "LayerOrder SquareLayer")
def backward_order(d: Draw) -> Case:
    """The flat vector begins with the layer that comes last in the model; both have one size."""
    layers, tracked = d.mlp(3, 3, 3), ("fc2", "fc1")
    return d.case(layers, d.normal(13, 3, mean=0.5), d.classes(3, 13), tracked=tracked)
