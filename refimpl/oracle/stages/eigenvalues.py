"""The stage "eigenvalues": EK-FAC's corrected eigenvalues in a given basis."""

from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.answer import ByLayer
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.truth import Truth

__all__ = ["EIGENVALUES"]


class CorrectedEigenvalues(Stage):
    """{layer: Lambda [O, I]}."""

    name = "eigenvalues"
    plural = "corrected eigenvalues"
    signature = ("case", "basis", "seed")
    form = ByLayer(lambda sizes, o, i: ((o, i),))
    fed_as = "eigenvalues"
    inherits = ("eigenvalues", "factors", "gradients")
    axes = ("row", "column")
    draws_labels = True
    degree = (0, 1)
    checks = (("eigenvalues", "eigenvalues-equal"),)

    def right(self, truth: Truth, arguments: Arguments) -> dict[str, Array]:
        """Second moments of pseudo-gradients in the basis; of sampled labels the expectation."""
        return truth.eigenvalues_in(arguments["basis"])


EIGENVALUES = CorrectedEigenvalues()
