"""The trained perceptrons that the benches measure on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from refimpl.losses import CrossEntropy
from refimpl.problem.problem import Problem
from validation import data
from validation.data import Split
from validation.models.networks import mlp
from validation.training.optimisers import train

__all__ = ["TrainedModel", "perceptron"]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, its data, and both as a problem."""

    model: nn.Module
    split: Split
    problem: Problem


def perceptron(
    sizes: Sequence[int],
    examples: int,
    queries: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    iterations: int = 20,
) -> TrainedModel:
    """A tanh MLP after some steps of L-BFGS on scikit-learn's digits, enlarged to the first layer's size.

    Trained, since an untrained softmax is flat and its Gauss-Newton Hessian easier than any real one.

    Args:
        sizes: Inputs (the pixels of a square image), hidden units of each layer, outputs.
        examples: Training images.
        queries: Query images, others than those where there are enough of the 1,797.
        dtype: Of model, data and every computation.
        device: Where they lie.
        iterations: Steps of training.
    """
    side = round(sizes[0] ** 0.5)
    if side**2 != sizes[0]:
        raise ValueError(f"the inputs are pixels of a square image, got {sizes[0]} of them")
    spare = min(queries, 1797 - examples)  # all 1,797 images train where the bench wants them all
    split = data.upsampled_digit_images(examples, spare, seed=0, side=side)
    if spare < queries:
        x = torch.cat([split.query_inputs, split.inputs[: queries - spare]])
        y = torch.cat([split.query_targets, split.targets[: queries - spare]])
        split = Split(split.inputs, split.targets, x, y)
    model = mlp(sizes, torch.Generator().manual_seed(0), dtype=torch.float64).to(device)
    x, y = split.inputs.to(device), split.targets.to(device)
    train(model, CrossEntropy(), x, y, weight_decay=1e-3, iterations=iterations)
    model = model.to(dtype)
    split = Split(
        x.to(dtype), y, split.query_inputs.to(device, dtype), split.query_targets.to(device)
    )
    return TrainedModel(model, split, Problem(model, CrossEntropy(), split.inputs, y, dtype=dtype))
