"""Honest implementations: refimpl and the oracle's second one, in any conventions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import records
from refimpl.oracle.run.outcomes import Questions
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported

__all__ = ["KINDS", "implementation", "questions", "variants"]

SINGULAR = "the damped matrix is singular to rounding: there is no inverse to form"


class Inverting(Pipeline):
    """The second one where it forms the inverse, as many scripts do: right, if less exact."""

    def invert(self, matrix: Array, vectors: Array) -> Array:
        """Each row times the inverse."""
        try:
            return vectors @ np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            raise Unsupported(SINGULAR) from None

    def precondition(
        self,
        V: Float[Tensor, "k O I"],
        Q_A: Float[Tensor, "I I"],
        Q_S: Float[Tensor, "O O"],
        D: Float[Tensor, "O I"],
    ) -> Float[Tensor, "k O I"]:
        """vec(V) times the inverse of the layer's whole matrix."""
        Q = torch.kron(Q_S, Q_A)
        inverse, info = torch.linalg.inv_ex(Q * D.flatten() @ Q.T)
        if info:
            raise Unsupported(SINGULAR)
        return (V.flatten(1) @ inverse).view_as(V)


KINDS = {"reference": Reference, "pipeline": Pipeline, "inverting": Inverting}
DIFFERS = {"inverting": ("solve", "scores")}  # in these stages from one that is asked about all


def variants() -> list[dict[str, str]]:
    """The variants of honest implementations: none, one convention, or the curvature changed.

    A choice that goes with one curvature alone comes with it.
    """
    others = {
        curvature: [
            {name: choice.value}
            for name, record in records().items()
            for choice in record.choices[1:]
            if choice.tried and choice.curvature == curvature
        ]
        for curvature in ("", "kfac", "gauss_newton")
    }
    every: list[dict[str, str]] = []
    for curvature, changed in others.items():
        alone = {"curvature": curvature} if curvature else {}
        every += [alone, *(alone | choice for choice in changed)]
    return every


def implementation(kind: str, variant: Mapping[str, str]) -> Adapter:
    """An honest implementation that declares what it is.

    Args:
        kind: One of KINDS.
        variant: Its conventions as they differ from the defaults, and its "curvature" if not EK-FAC.
    """
    conventions: dict[str, Any] = dict(variant)
    curvature = conventions.pop("curvature", "ekfac")
    adapter = KINDS[kind]()
    adapter.declaration = Declaration(kind, curvature=curvature, conventions=conventions)
    return adapter


def questions(kind: str) -> Questions:
    """Every check in each of its modes, of the stages in which a kind is another implementation.

    Args:
        kind: One of KINDS.
    """
    return tuple(
        (check, mode)
        for check in CHECKS
        if kind not in DIFFERS or check.stage in DIFFERS[kind]
        for mode in check.modes
    )
