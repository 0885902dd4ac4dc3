"""Layout of the pipeline: the matrices of blocks, the layers of the conventions, and flat vectors."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.oracle.pipeline.passes import Passes
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.network import LayerSpec, layer_named

__all__ = ["Layout", "Matrices"]

Matrices = dict[str, Tensor]


class Layout(Passes):
    """Conversions between matrices of blocks, layers of the conventions and flat vectors."""

    def blocks(self, case: Case) -> dict[str, LayerSpec]:
        """The layer of every block by the block's name, in the order of the flat vector."""
        layers = [(name, layer_named(case.layers, name)) for name in case.tracked]
        return {
            block: layer
            for name, layer in layers
            for block in self.names(name, layer.get("groups", 1))
        }

    def in_layers(self, case: Case, matrices: Mapping[str, Tensor]) -> Matrices:
        """Matrices [..., O, I] of blocks, with the bias where the conventions want it."""
        layers: Matrices = {}
        for name, layer in self.blocks(case).items():
            whole = matrices[name]
            if not layer["bias"] or case.conventions.bias == "last_column":
                layers[name] = whole
                continue
            layers[name] = whole[..., :-1]
            if case.conventions.bias == "separate":
                layers[f"{name}.bias"] = whole[..., -1:]
        return layers

    def flat(self, case: Case, matrices: Mapping[str, Tensor]) -> Float[Tensor, "... P"]:
        """Flat vectors of a matrix [..., O, I] per layer."""
        return torch.cat([self.vec(case, m).flatten(-2) for m in matrices.values()], dim=-1)

    def vec(self, case: Case, matrix: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The matrix whose rows, one after the other, are a layer's part of the vector."""
        return matrix.mT if case.conventions.vec_order == "in_major" else matrix

    def unflat(
        self, case: Case, vectors: Float[Tensor, "k P"], like: Mapping[str, tuple[int, int]]
    ) -> Matrices:
        """The matrix [k, O, I] per layer of flat vectors; `like` gives O and I."""
        parts = vectors.split([o * i for o, i in like.values()], dim=-1)
        turned = case.conventions.vec_order == "in_major"
        return {
            name: part.unflatten(-1, (i, o)).mT if turned else part.unflatten(-1, (o, i))
            for (name, (o, i)), part in zip(like.items(), parts, strict=True)
        }
