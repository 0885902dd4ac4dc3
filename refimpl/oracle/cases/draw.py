"""Draw: random weights and data of a case, from its name and a seed.

Numbers are multiples of 1/1024: float32 holds them, and sums of a few, without rounding, and they are
the same on every machine (RandomState's streams are frozen).
"""

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.question.network import LayerSpec, linear_names

__all__ = ["FLATTEN", "GELU", "IGNORED", "MIX", "RELU", "SOFTPLUS", "TANH", "Draw", "pad", "pool"]

TANH: LayerSpec = {"op": "tanh"}
RELU, GELU, SOFTPLUS = ({"op": op} for op in ("relu", "gelu", "softplus"))
MIX, FLATTEN = {"op": "mix"}, {"op": "flatten"}
IGNORED = -100
HUGE = 1024.0  # what padding holds: seen by nobody, and fatal to who looks
GRID = 1024.0
CROSS_ENTROPY = LossSpec("cross_entropy")


def pool(*axes: int) -> LayerSpec:
    """A mean over axes."""
    return {"op": "pool", "axes": list(axes)}


class Draw:
    """Random layers and data; every layer that is made leaves its parameters in `parameters`.

    Args:
        id: The case's id.
        seed: A case's name and seed fix its numbers.
    """

    def __init__(self, id: str, seed: int) -> None:
        self.id = id
        self.random = np.random.RandomState([zlib.crc32(id.encode()), seed])
        self.parameters: dict[str, Array] = {}

    def normal(self, *shape: int, mean: float = 0.0, scale: float = 1.0) -> Array:
        """Normal numbers, rounded to the grid.

        Args:
            *shape: Shape of the array.
            mean: Mean of the numbers.
            scale: Standard deviation of the numbers.
        """
        return on_grid(mean + scale * self.random.standard_normal(shape))

    def classes(self, count: int, *shape: int) -> Array:
        """Labels, every class as likely.

        Args:
            count: Number of classes.
            *shape: Shape of the array.
        """
        return self.random.randint(count, size=shape).astype(np.int64)

    def linear(
        self, name: str, inputs: int, outputs: int, *, bias: bool = True, scale: float = 1.0
    ) -> LayerSpec:
        """A linear layer with weights of variance scale^2 / inputs.

        Args:
            name: Name of the layer.
            inputs: Fan-in.
            outputs: Fan-out.
            bias: Whether there is one.
            scale: Standard deviation of the weights times sqrt(inputs).
        """
        self._fill(name, (outputs, inputs), scale / inputs**0.5, bias)
        return {"op": "linear", "name": name, "bias": bias}

    def conv2d(
        self, name: str, shape: tuple[int, int, int, int], *, bias: bool = True, **options: Any
    ) -> LayerSpec:
        """A convolution.

        Args:
            name: Name of the layer.
            shape: Shape of the weight: channels out, channels in of one group, height, width.
            bias: Whether there is one.
            **options: stride, padding, padding_mode, dilation, groups.
        """
        self._fill(name, shape, float(np.prod(shape[1:])) ** -0.5, bias)
        return {"op": "conv2d", "name": name, "bias": bias, **options}

    def attention(self, name: str, width: int, heads: int) -> LayerSpec:
        """Causal attention.

        Args:
            name: Name of the layer.
            width: D.
            heads: Number of heads.
        """
        for part in "qkvo":
            self.parameters[f"{name}.{part}"] = self.normal(width, width, scale=width**-0.5)
        return {"op": "attention", "name": name, "heads": heads}

    def norm(self, name: str, width: int) -> LayerSpec:
        """Layer norm.

        Args:
            name: Name of the layer.
            width: D.
        """
        self.parameters[f"{name}.weight"] = self.normal(width, mean=1.0, scale=0.3)
        self.parameters[f"{name}.bias"] = self.normal(width, scale=0.3)
        return {"op": "norm", "name": name}

    def table(self, op: str, name: str, rows: int, width: int) -> LayerSpec:
        """An embedding, or positions.

        Args:
            op: "embedding" or "positions".
            name: Name of the layer.
            rows: Number of tokens, or of places.
            width: D.
        """
        self.parameters[f"{name}.weight"] = self.normal(rows, width, mean=0.25)
        return {"op": op, "name": name}

    def mlp(self, *widths: int, activation: LayerSpec = TANH) -> list[LayerSpec]:
        """Linear layers fc1, fc2, ... with a bias, and an activation between any two.

        Args:
            *widths: Widths of the input, of every layer between, and of the output.
            activation: The activation.
        """
        layers: list[LayerSpec] = []
        for i, (before, after) in enumerate(pairwise(widths), start=1):
            layers += [activation] if layers else []
            layers.append(self.linear(f"fc{i}", before, after))
        return layers

    def _fill(self, name: str, shape: tuple[int, ...], scale: float, bias: bool) -> None:
        self.parameters[f"{name}.weight"] = self.normal(*shape, scale=scale)
        if bias:
            self.parameters[f"{name}.bias"] = self.normal(shape[0], scale=0.5)

    def case(
        self,
        layers: Sequence[LayerSpec],
        inputs: Array,
        labels: Array,
        *,
        loss: LossSpec = CROSS_ENTROPY,
        queries: int = 3,
        damping: float = 1e-2,
        tracked: Sequence[str] | None = None,
        batch_size: int = 4,
    ) -> Case:
        """The case of these layers and data.

        Args:
            layers: The model.
            inputs: Inputs of training examples and queries.
            labels: Likewise.
            loss: The loss.
            queries: Number of the last examples that are the queries.
            damping: Absolute lambda.
            tracked: Tracked layers; default: all linear and conv2d ones.
            batch_size: See `Case`.
        """
        n = len(inputs) - queries
        return Case(
            id=self.id,
            layers=tuple(layers),
            parameters=self.parameters,
            tracked=tuple(tracked or linear_names(layers)),
            inputs=inputs[:n].copy(),
            labels=labels[:n].copy(),
            query_inputs=inputs[n:].copy(),
            query_labels=labels[n:].copy(),
            loss=loss,
            damping=damping,
            batch_size=batch_size,
        )


def pad(inputs: Array, labels: Array, lengths: Sequence[int], filling: float = HUGE) -> None:
    """Cut every example to its length: what follows is `filling` and is ignored.

    Args:
        inputs: Inputs [N, T, D], changed in place.
        labels: Labels [N, T], changed in place.
        lengths: Tokens of each example, repeated as often as needed.
        filling: Value of the padding.
    """
    for n in range(len(inputs)):
        end = lengths[n % len(lengths)]
        inputs[n, end:] = filling
        labels[n, end:] = IGNORED


def on_grid(numbers: Array) -> Array:
    """The nearest multiples of 1/1024.

    Args:
        numbers: Numbers of any shape.
    """
    return np.round(numbers * GRID) / GRID
