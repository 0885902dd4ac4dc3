"""The stage "response": parameters at the minimiser of the proximal Bregman objective."""

from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.answer import Arrays, OneArray
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.truth import Truth

__all__ = ["RESPONSE"]


class Response(Stage):
    """[P]."""

    name = "response"
    plural = "responses"
    signature = ("case", "example", "epsilon")
    form = OneArray(lambda sizes: (sizes.parameters,))
    inherits = ("response", "gradients", "factors")
    axes = ("entry",)
    gives_parameters = True

    def right(self, truth: Truth, arguments: Arguments) -> Array:
        """The parameters that refimpl finds, certified to 1e-10 of the first gradient."""
        return truth.response(arguments["example"], arguments["epsilon"])

    def tolerances(self, truth: Truth, arguments: Arguments, right: Arrays) -> dict[str, float]:
        """The gradient that may remain times the condition number; rounding is smaller than that."""
        kappa = 1 + np.linalg.norm(truth.matrix, 2) / truth.case.damping
        return {self.name: 4e-10 * float(kappa)}

    def named(self, answer: Any) -> Arrays:
        """The parameters together."""
        return {self.name: answer}


RESPONSE = Response()
