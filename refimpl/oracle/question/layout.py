"""Matrices of layers and flat vectors, in the conventions that an implementation declares."""

from collections.abc import Iterable, Mapping

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.problem.layout import Block

__all__ = ["flatten", "shapes", "split_bias", "unflatten"]


def split_bias(
    matrices: Mapping[str, Array], blocks: Iterable[Block], conventions: Conventions
) -> dict[str, Array]:
    """Put the bias, the last column of matrices [..., O, I], where the conventions have it.

    Args:
        matrices: By block.
        blocks: The blocks, which say where there is a bias.
        conventions: "separate" makes the column a layer "name.bias" of its own, "none" drops it.
    """
    if conventions.bias == "last_column":
        return dict(matrices)
    layers: dict[str, Array] = {}
    for block in blocks:
        whole = matrices[block.name]
        layers[block.name] = whole[..., :-1] if block.bias else whole
        if block.bias and conventions.bias == "separate":
            layers[f"{block.name}.bias"] = whole[..., -1:]
    return layers


def shapes(case: Case, conventions: Conventions) -> dict[str, tuple[int, int]]:
    """(O, I) of every layer that the conventions know, in the order of the flat vector.

    Args:
        case: Whose tracked layers they are.
        conventions: Conventions, which place the bias.
    """
    whole = {b.name: np.broadcast_to(0.0, (b.outputs, b.inputs)) for b in case.blocks}
    return {
        n: (m.shape[0], m.shape[1]) for n, m in split_bias(whole, case.blocks, conventions).items()
    }


def flatten(matrices: Mapping[str, Array], conventions: Conventions) -> Array:
    """Flat vectors [..., P] of a matrix [..., O, I] per layer.

    Args:
        matrices: By layer, as the conventions have them.
        conventions: "in_major" writes each matrix column by column.
    """
    turned = conventions.vec_order == "in_major"
    parts = [np.swapaxes(m, -1, -2) if turned else m for m in matrices.values()]
    return np.concatenate([p.reshape(*p.shape[:-2], -1) for p in parts], axis=-1)


def unflatten(vectors: Array, case: Case, conventions: Conventions) -> dict[str, Array]:
    """The matrix [..., O, I] per layer of flat vectors [..., P]; inverse of `flatten`.

    Args:
        vectors: Flat vectors [..., P].
        case: Whose tracked layers they hold.
        conventions: Conventions, which place the bias and order a layer's entries.
    """
    matrices: dict[str, Array] = {}
    start = 0
    for name, (rows, columns) in shapes(case, conventions).items():
        part = vectors[..., start : start + rows * columns]
        if conventions.vec_order == "in_major":
            matrices[name] = np.swapaxes(part.reshape(*part.shape[:-1], columns, rows), -1, -2)
        else:
            matrices[name] = part.reshape(*part.shape[:-1], rows, columns)
        start += rows * columns
    return matrices
