"""The stage "eigenbasis": eigendecompositions of given factors."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.answer import Arrays, ByLayer
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.kronecker import Basis, eigen
from refimpl.oracle.truth.scales import THRESHOLD
from refimpl.oracle.truth.truth import Truth

__all__ = ["EIGENBASIS"]


class Eigenbasis(Stage):
    """{layer: (w_A [I], Q_A [I, I], w_S [O], Q_S [O, O])}, eigenvectors as columns."""

    name = "eigenbasis"
    plural = "eigendecompositions"
    signature = ("factors",)
    form = ByLayer(lambda sizes, o, i: ((i,), (i, i), (o,), (o, o)), ("w_A", "Q_A", "w_S", "Q_S"))
    fed_as = "basis"
    inherits = ("eigenbasis",)
    amplifies = True
    checks = (("spectrum", "eigenbasis-spectrum"),)

    def right(self, truth: Truth, arguments: Arguments) -> Basis:
        """One of the right answers: eigenvectors have signs, and bases of eigenspaces, of their own."""
        return eigen(arguments["factors"])

    def tolerances(self, truth: Truth, arguments: Arguments, right: Arrays) -> dict[str, float]:
        """N u: it is computed from given matrices alone, of at most a hundred rows."""
        return dict.fromkeys(right, THRESHOLD * truth.conventions.unit * 100.0)

    def named(self, answer: Any) -> Arrays:
        """The eigenvalues, Q diag(w) Q^T and Q^T Q, which no sign changes."""
        arrays: Arrays = {}
        for layer, (w_A, Q_A, w_S, Q_S) in answer.items():
            for part, w, Q in (("A", w_A, Q_A), ("S", w_S, Q_S)):
                arrays[f"eigenvalues of {part} of {layer}"] = w
                arrays[f"Q diag(w) Q^T of {part} of {layer}"] = np.abs((Q * w) @ Q.T)
                arrays[f"Q^T Q of {part} of {layer}"] = np.abs(Q.T @ Q)
        return arrays

    def recorded(self, answer: Any, curvature: str) -> Arrays:
        """The eigenvalues alone: a vector holds nothing that is not unique."""
        return {
            f"spectrum/{layer}/{part}": w
            for layer, (w_A, _, w_S, _) in answer.items()
            for part, w in (("A", w_A), ("S", w_S))
        }

    def pairs(self, arguments: Arguments, answer: Any, right: Any) -> Iterator[tuple[Array, Array]]:
        """Q diag(w) Q^T beside the factor that was to be decomposed."""
        for layer, (w_A, Q_A, w_S, Q_S) in answer.items():
            A, S = arguments["factors"][layer]
            yield (Q_A * w_A) @ Q_A.T, A
            yield (Q_S * w_S) @ Q_S.T, S


EIGENBASIS = Eigenbasis()
