"""Factors and eigenbases of a layer whose bias the conventions treat as a layer or leave out."""

from collections.abc import Iterable

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.truth.kronecker import Basis, Factors
from refimpl.problem.layout import Block

__all__ = ["bases_with_bias", "split_factors"]


def split_factors(
    factors: Factors, blocks: Iterable[Block], conventions: Conventions
) -> dict[str, tuple[Array, Array]]:
    """Factors (A, S) of [W | b], as the conventions have them.

    Args:
        factors: By block, with the bias's coordinate last in A.
        blocks: The tracked blocks, which say where there is a bias.
        conventions: "separate" gives the bias's 1 x 1 part of A to a layer "name.bias", "none" drops it.
    """
    split: dict[str, tuple[Array, Array]] = {}
    for block in blocks:
        A, S = factors[block.name]
        if block.bias and conventions.bias != "last_column":
            split[block.name] = A[:-1, :-1], S
            if conventions.bias == "separate":
                split[f"{block.name}.bias"] = A[-1:, -1:], S
        else:
            split[block.name] = A, S
    return split


def bases_with_bias(
    basis: Basis, blocks: Iterable[Block], conventions: Conventions
) -> dict[str, tuple[Array, Array]]:
    """Bases (Q_A, Q_S) of [W | b] in float64, from those of the conventions' layers.

    Args:
        basis: (w_A, Q_A, w_S, Q_S) by layer.
        blocks: The tracked blocks.
        conventions: Unless the bias is the last column, its own direction completes the weight's basis.
    """
    whole: dict[str, tuple[Array, Array]] = {}
    for block in blocks:
        _, Q_A, _, Q_S = (np.asarray(b, dtype=np.float64) for b in basis[block.name])
        if block.bias and conventions.bias != "last_column":
            Q_A = np.pad(Q_A, (0, 1))
            Q_A[-1, -1] = 1.0
        whole[block.name] = Q_A, Q_S
    return whole
