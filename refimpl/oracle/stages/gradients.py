"""The stage "gradients": the gradient of every training example's loss."""

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.stages.answer import ByLayer
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.truth import Truth

__all__ = ["GRADIENTS"]


class Gradients(Stage):
    """{layer: [N, O, I]}."""

    name = "gradients"
    plural = "gradients"
    signature = ("case",)
    form = ByLayer(lambda sizes, o, i: ((sizes.examples, o, i),))
    inherits = ("gradients",)
    axes = ("example", "row", "column")
    example_axis = 0
    degree = (1, 0)
    checks = (("gradients", "gradients-equal"),)

    def right(self, truth: Truth, arguments: Arguments) -> dict[str, Array]:
        """Grad l_n, over N where the loss is divided by it."""
        return truth.gradients

    def divided_by_n(self, conventions: Conventions) -> bool:
        """True where an example's share of the mean loss is differentiated."""
        return conventions.loss_reduction == "example_mean"


GRADIENTS = Gradients()
