"""Layer: a module seen as matrices [W | b] that multiply rows of its input."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

__all__ = ["Layer"]


class Layer(ABC):
    """How a module acts: G linear maps side by side, each s_r = [W | b] a_r at every position r.

    A subclass speaks for one type of module (`register_layer`), an object for one module. The object
    knows the shapes of the module's parameters and its options, never their values.

    A subclass says what the rows are (`input_rows`, `output_rows`). Where the weight is not stored row
    by row, [G O, ...], it says as well how the weight is a matrix (`matrix`) and back (`weight`); where
    the parameters are no weight and bias at all, `matrices` and `parameters` are what to override.

    Args:
        module: The module.

    Attributes:
        names: The parameters that the type's forward may use. A module must hold them itself, under
            these names; it may do without those that are None.
        by_token: Whether the module acts on the last axis alone, so that the other axes of its output
            are examples and tokens. K-FAC leaves the rows of ignored tokens out of such a layer's A.
        feature_axes: How many of the last axes of the input belong to one example and so are never the
            batch: 1 for a Linear, 3 for a Conv2d (channels, height, width).
        groups: G, how many maps there are.
        shapes: Shapes of the module's parameters by name.
    """

    names: ClassVar[tuple[str, ...]] = ("weight", "bias")
    by_token: ClassVar[bool] = False
    feature_axes: ClassVar[int] = 1
    groups: int = 1

    def __init__(self, module: nn.Module) -> None:
        parameters = dict(module.named_parameters(recurse=False))
        self.shapes = {name: parameters[name].shape for name in self.names if name in parameters}

    @abstractmethod
    def input_rows(self, a: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B G R J"]:
        """The rows that W multiplies: a row for each of R positions, without the 1 of the bias.

        Args:
            a: The input of a call, its first axis the batch.
        """

    @abstractmethod
    def output_rows(
        self, s: Float[Tensor, "K ..."], a: Shaped[Tensor, "B ..."]
    ) -> Float[Tensor, "K G R O"]:
        """The rows of the output, or of gradients in it, in the order of `input_rows`.

        Args:
            s: The output of a call, or several tensors of its shape one after another on the first axis.
            a: The input of that call, once, for modules whose rows depend on it.
        """

    def matrix(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "*batch G O J"]:
        """W of each map.

        Args:
            weight: The module's weight, [..., *shape]; here [..., G O, *shape of a row].
        """
        rows = len(self.shapes["weight"]) - 1
        return weight.flatten(-rows).unflatten(-2, (self.groups, -1))

    def weight(self, matrix: Float[Tensor, "*batch G O J"]) -> Float[Tensor, "..."]:
        """The module's weight [..., *shape]: the inverse of `matrix`.

        Args:
            matrix: W of each map.
        """
        return matrix.flatten(-3, -2).unflatten(-1, self.shapes["weight"][1:])

    def matrices(
        self, parameters: Mapping[str, Float[Tensor, "..."]]
    ) -> Float[Tensor, "*batch G O I"]:
        """[W | b] of each map, b being a column of its own where there is a bias.

        Args:
            parameters: A tensor [..., *shape] of each name in `shapes`.
        """
        matrix = self.matrix(parameters["weight"])
        if not self.bias:
            return matrix
        column = parameters["bias"].unflatten(-1, (self.groups, -1))[..., None]
        return torch.cat([matrix, column], dim=-1)

    def parameters(self, matrices: Float[Tensor, "*batch G O I"]) -> dict[str, Tensor]:
        """The parameters by name, each [..., *shape]: the inverse of `matrices`.

        Args:
            matrices: [W | b] of each map.
        """
        if not self.bias:
            return {"weight": self.weight(matrices)}
        return {
            "weight": self.weight(matrices[..., :-1]),
            "bias": matrices[..., -1].flatten(-2),
        }

    @property
    def bias(self) -> bool:
        """Whether the last column of `matrices` is a bias, and the rows so get a last coordinate 1."""
        return "bias" in self.shapes

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """(G, O, I): how many maps, and the size of each, the bias column included.

        Raises:
            ValueError: `matrices` gives something else than matrices.
        """
        like = {name: torch.empty(shape, device="meta") for name, shape in self.shapes.items()}
        shape = self.matrices(like).shape
        if len(shape) != 3:
            raise ValueError(
                f"{type(self).__name__}.matrices must give [..., G, O, I], got {tuple(shape)} of "
                f"parameters { {name: tuple(s) for name, s in self.shapes.items()} }"
            )
        return shape[0], shape[1], shape[2]

    def example_inputs(self, a: Shaped[Tensor, "..."], examples: int) -> Float[Tensor, "N G R I"]:
        """The rows a_r of each example, with a last coordinate 1 where there is a bias.

        Args:
            a: The input of a call; its first axis holds the examples, or examples times something.
            examples: N.

        Raises:
            ValueError: The first axis is not a multiple of N.
        """
        _check_first_axis(a, examples, self.feature_axes)
        rows = _by_example(self.input_rows(a), examples)
        if not self.bias:
            return rows
        return torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)

    def example_outputs(
        self, s: Float[Tensor, "..."], a: Shaped[Tensor, "..."], examples: int
    ) -> Float[Tensor, "N G R O"]:
        """The outputs s_r of each example, or gradients in them, in the order of `example_inputs`.

        Args:
            s: The output of a call, or several tensors of its shape one after another.
            a: The input of that call.
            examples: N, times how many tensors `s` holds.

        Raises:
            ValueError: The first axis is not a multiple of N.
        """
        _check_first_axis(s, examples, features=1)
        return _by_example(self.output_rows(s, a), examples)


def _by_example(rows: Float[Tensor, "B G R J"], examples: int) -> Float[Tensor, "N G MR J"]:
    """The rows of each example, where a batch holds M calls' worth of every example."""
    return rows.unflatten(0, (examples, -1)).transpose(1, 2).flatten(2, 3)


def _check_first_axis(tensor: Shaped[Tensor, "..."], examples: int, features: int) -> None:
    if tensor.ndim <= features or tensor.shape[0] == 0 or tensor.shape[0] % examples != 0:
        raise ValueError(
            f"a tracked layer was called on a tensor {tuple(tensor.shape)} whose first axis is not "
            f"the {examples} examples: their gradients cannot be told apart. Call it with the "
            "batch axis first, or leave the layer out of `layers`"
        )
