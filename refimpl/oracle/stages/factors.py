"""The stage "factors": K-FAC's covariances of layer inputs and of pseudo-gradients."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.answer import Arrays, ByLayer
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.accumulation import absolute_sums
from refimpl.oracle.truth.kronecker import Factors
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["FACTORS"]


class KroneckerFactors(Stage):
    """{layer: (A [I, I], S [O, O])}."""

    name = "factors"
    plural = "factors"
    signature = ("case", "seed")
    form = ByLayer(lambda sizes, o, i: ((i, i), (o, o)), ("A", "S"))
    fed_as = "factors"
    inherits = ("factors", "gradients")
    axes = ("row", "column")
    draws_labels = True
    known_in_part = True  # A is of the inputs alone
    checks = (("A", "factor-a-equal"), ("S", "factor-s-equal"))

    def right(self, truth: Truth, arguments: Arguments) -> Factors:
        """A = E[a a^T], S = E[g g^T]; of sampled labels the expectation."""
        return truth.factors

    def scale(self, truth: Truth, arguments: Arguments) -> Arrays:
        """The change under perturbations of the problem, and sqrt(K) B of the sums of K terms."""
        moved, sums = scale_of(truth, lambda t: t.factors), absolute_sums(truth)
        return self.arrays(
            {n: tuple(m + b for m, b in zip(moved[n], sums[n], strict=True)) for n in moved}
        )

    def relation_scale(self, truth: Truth, answer: Callable[[], Any], scale: Arrays) -> Arrays:
        """In proportion to the traces, where only the product of A and S has a size."""
        if truth.conventions.factor_scale == "each":
            return scale
        answered, right = self.arrays(answer()), self.arrays(truth.factors)
        sizes = {n: (np.trace(answered[n]), np.trace(right[n])) for n in scale}
        return {
            n: s * (sizes[n][0] / sizes[n][1] if sizes[n][1] > 0 else 1) for n, s in scale.items()
        }

    def named(self, answer: Any) -> Arrays:
        """A and S of every layer."""
        return {
            f"{part} of {layer}": factor
            for layer, pair in answer.items()
            for part, factor in zip("AS", pair, strict=True)
        }

    def pairs(self, arguments: Arguments, answer: Any, right: Any) -> Iterator[tuple[Array, Array]]:
        """The product S (x) A, the only thing that they stand for."""
        for layer, (A, S) in answer.items():
            yield np.kron(S, A), np.kron(right[layer][1], right[layer][0])


FACTORS = KroneckerFactors()
