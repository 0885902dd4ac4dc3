"""ParameterLayout: the flat vector [P] <-> the matrix [W | b] of each block.

The flat vector is, block by block, the row-major flattening of [W | b] (O x I, the bias as last
column where there is one). A block is one linear map of a layer: a Linear's, or that of one group of a
convolution. How a weight is a matrix only its layer knows (`layers/`); the order, only this file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refimpl.problem.layers.layer import Layer
from refimpl.problem.layers.table import layer_of

__all__ = ["Block", "ParameterLayout", "TrackedLayer"]


@dataclass(frozen=True)
class TrackedLayer:
    """A tracked set of parameters: one module, or several modules that share their parameters.

    Args:
        name: The first module's name.
        modules: How each module that holds these very parameters acts, by the module's name.
    """

    name: str
    modules: dict[str, Layer]

    @classmethod
    def of(cls, modules: Mapping[str, nn.Module]) -> "TrackedLayer":
        """The layer that the given modules, all holding the same parameters, form."""
        layers = {name: layer_of(module) for name, module in modules.items()}
        return cls(next(iter(layers)), layers)

    @property
    def layer(self) -> Layer:
        """How the parameters are matrices, which all modules agree on."""
        return self.modules[self.name]

    @property
    def block_names(self) -> list[str]:
        """A name for each of the layer's matrices."""
        groups = self.layer.sizes[0]
        return [self.name] if groups == 1 else [f"{self.name}[{group}]" for group in range(groups)]


@dataclass(frozen=True)
class Block:
    """One matrix [W | b]: its name, its size O x I (I counts the bias column), its place in [P]."""

    name: str
    layer: str
    outputs: int
    inputs: int
    bias: bool
    start: int

    @property
    def stop(self) -> int:
        """End of the block in the flat vector."""
        return self.start + self.outputs * self.inputs

    @property
    def slice(self) -> slice:
        """The block's place in the flat vector."""
        return slice(self.start, self.stop)


class ParameterLayout:
    """Converts between the flat vector, the matrices of the blocks and the model's named parameters.

    Args:
        layers: The tracked layers in the order of the flat vector.
    """

    def __init__(self, layers: Sequence[TrackedLayer]) -> None:
        self.layers = tuple(layers)
        blocks: list[Block] = []
        start = 0
        for tracked in self.layers:
            _, outputs, inputs = tracked.layer.sizes
            for name in tracked.block_names:
                block = Block(name, tracked.name, outputs, inputs, tracked.layer.bias, start)
                blocks.append(block)
                start = block.stop
        self.blocks = tuple(blocks)
        self.num_parameters = start

    def __repr__(self) -> str:
        shapes = ", ".join(f"{b.name}: {b.outputs}x{b.inputs}" for b in self.blocks)
        return f"ParameterLayout({shapes}; P={self.num_parameters})"

    def matrices(self, flat: Float[Tensor, "*batch P"]) -> dict[str, Float[Tensor, "*batch _O _I"]]:
        """The matrix [W | b] of every block.

        Args:
            flat: Flat vectors [..., P].

        Returns:
            A view [..., O, I] per block name.
        """
        self._check(flat)
        return {
            b.name: flat[..., b.slice].unflatten(-1, (b.outputs, b.inputs)) for b in self.blocks
        }

    def flatten(self, matrices: Mapping[str, Float[Tensor, "..."]]) -> Float[Tensor, "*batch P"]:
        """The flat vectors [..., P] of a matrix [..., O, I] per block; inverse of `matrices`.

        Args:
            matrices: A matrix [..., O, I] per block name.

        Raises:
            ValueError: A block is missing, or its matrix has another shape.
        """
        for b in self.blocks:
            if b.name not in matrices:
                raise ValueError(f"no matrix for block '{b.name}' among {sorted(matrices)}")
            if matrices[b.name].shape[-2:] != (b.outputs, b.inputs):
                raise ValueError(
                    f"block '{b.name}' is {b.outputs} x {b.inputs} (outputs x inputs, bias "
                    f"included), got {tuple(matrices[b.name].shape)}"
                )
        return torch.cat([matrices[b.name].flatten(-2) for b in self.blocks], dim=-1)

    def named(self, flat: Float[Tensor, "*batch P"]) -> dict[str, Float[Tensor, "..."]]:
        """The model's parameters by name, e.g. "0.weight"; shared ones once per holding module.

        Args:
            flat: Flat vectors [..., P].

        Returns:
            Tensors [..., *parameter shape].
        """
        self._check(flat)
        named: dict[str, Tensor] = {}
        # One split, not a slice a layer: its derivative is one concatenation, theirs a vector [P] each.
        parts = flat.split([prod(tracked.layer.sizes) for tracked in self.layers], dim=-1)
        for tracked, part in zip(self.layers, parts, strict=True):
            parameters = tracked.layer.parameters(part.unflatten(-1, tracked.layer.sizes))
            for module in tracked.modules:
                for name, value in parameters.items():
                    named[_qualified(module, name)] = value
        return named

    def from_named(self, named: Mapping[str, Float[Tensor, "..."]]) -> Float[Tensor, "*batch P"]:
        """The flat vectors [..., P] of tensors named as in `model.named_parameters()`.

        Args:
            named: A tensor [..., *parameter shape] per parameter; names of other parameters, and
                further names of shared ones, may be present and are not read.

        Raises:
            ValueError: A tracked parameter is missing or of another shape.
        """
        parts: list[Tensor] = []
        for tracked in self.layers:
            parameters: dict[str, Tensor] = {}
            for name, shape in tracked.layer.shapes.items():
                value = parameters[name] = _first_named(named, tracked, name)
                if value.shape[-len(shape) :] != shape:
                    raise ValueError(
                        f"parameter '{_qualified(tracked.name, name)}' must be [..., "
                        f"{tuple(shape)}], got {tuple(value.shape)}"
                    )
            parts.append(tracked.layer.matrices(parameters).flatten(-3))
        return torch.cat(parts, dim=-1)

    def check_inverse(
        self, flat: Float[Tensor, " P"], named: Mapping[str, Float[Tensor, "..."]]
    ) -> None:
        """Refuse a layer whose `parameters` does not invert its `matrices`.

        Args:
            flat: The flat vector of `named`, [P].
            named: Tensors named as in `model.named_parameters()`.

        Raises:
            ValueError: A parameter comes back changed from the flat vector.
        """
        back = self.named(flat)
        for tracked in self.layers:
            for parameter in tracked.layer.shapes:
                name = _qualified(tracked.name, parameter)
                if name not in back or not torch.equal(back[name], named[name]):
                    raise ValueError(
                        f"{type(tracked.layer).__name__}: `parameters` is not the inverse of "
                        f"`matrices` ('{name}' comes back from its matrices as something else)"
                    )

    def _check(self, flat: Float[Tensor, "*batch P"]) -> None:
        if flat.shape[-1] != self.num_parameters:
            raise ValueError(
                f"expected vectors of length P={self.num_parameters}, got shape {tuple(flat.shape)}"
            )


def _first_named(
    named: Mapping[str, Tensor], tracked: TrackedLayer, parameter: str
) -> Float[Tensor, "..."]:
    for module in tracked.modules:
        name = _qualified(module, parameter)
        if name in named:
            return named[name]
    missing = _qualified(tracked.name, parameter)
    raise ValueError(f"parameter '{missing}' is missing among {sorted(named)}")


def _qualified(module: str, parameter: str) -> str:
    """The name in `model.named_parameters()`; the model itself has the name ""."""
    return f"{module}.{parameter}" if module else parameter
