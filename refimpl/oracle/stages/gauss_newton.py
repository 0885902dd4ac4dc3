"""The stage "gauss_newton": products with the undamped Gauss-Newton Hessian."""

from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.answer import Arrays, OneArray
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["GAUSS_NEWTON"]


class GaussNewtonProducts(Stage):
    """[k, P] -> [k, P]."""

    name = "gauss_newton"
    plural = "products with the Gauss-Newton Hessian"
    signature = ("case", "vectors")
    form = OneArray(lambda sizes: (sizes.vectors, sizes.parameters))
    inherits = ("gauss_newton", "factors", "gradients")
    degree = (1, 0)
    checks = (("gauss_newton", "gauss-newton-equal"),)

    def right(self, truth: Truth, arguments: Arguments) -> Array:
        """Each row times G."""
        return arguments["vectors"] @ truth.matrix

    def scale(self, truth: Truth, arguments: Arguments) -> Arrays:
        """The change under perturbations of the problem, and |v| |G| for the rounding of the product."""
        v = arguments["vectors"]
        moved = scale_of(truth, lambda t: self.right(t, arguments))
        return self.arrays(moved + np.abs(v) @ np.abs(truth.matrix))

    def tolerances(self, truth: Truth, arguments: Arguments, right: Arrays) -> dict[str, float]:
        """K u."""
        k = float(len(arguments["vectors"]))
        return dict.fromkeys(right, THRESHOLD * truth.conventions.unit * k)

    def named(self, answer: Any) -> Arrays:
        """The products together."""
        return {self.name: answer}

    def recorded(self, answer: Any, curvature: str) -> Arrays:
        """The products together."""
        return {self.name: answer}


GAUSS_NEWTON = GaussNewtonProducts()
