"""Models of the studies, built of torch modules, initialised from a generator of their own."""

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["mlp"]


def mlp(
    sizes: Sequence[int],
    generator: torch.Generator,
    activation: type[nn.Module] = nn.Tanh,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """A multilayer perceptron; weights uniform with variance 1 / inputs (LeCun), biases zero.

    Args:
        sizes: Inputs, hidden units of each layer, outputs.
        generator: Source of the initial weights.
        activation: Between the linear layers.
        dtype: Of the parameters.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        # skip_init: torch's own initialisation would advance the global random state.
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=dtype)
        bound = (3 / inputs) ** 0.5
        draws = torch.rand(outputs, inputs, generator=generator, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(bound * (2 * draws - 1))
            layer.bias.zero_()
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])
