"""The stage "scores": the influence of every training example on every query, end to end."""

from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.stages.answer import Arrays, OneArray
from refimpl.oracle.stages.setting import Setting
from refimpl.oracle.stages.stage import Arguments, Stage
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Truth, Undecided

__all__ = ["DECIDED", "SCORES"]

DECIDED = 1e-2  # a tolerance beyond this part of the answer decides nothing


class Scores(Stage):
    """[Q, N]."""

    name = "scores"
    plural = "scores"
    signature = ("case", "seed")
    form = OneArray(lambda sizes: (sizes.queries, sizes.examples))
    inherits = (
        "scores",
        "solve",
        "eigenvalues",
        "eigenbasis",
        "factors",
        "gauss_newton",
        "gradients",
    )
    axes = ("query", "example")
    draws_labels = True
    inverts = True
    amplifies = True
    example_axis = 1
    degree = (2, -1)
    checks = (("scores", "scores-equal"),)

    def right(self, truth: Truth, arguments: Arguments) -> Array:
        """-grad l_q^T (H + lambda)^-1 grad l_n, as the conventions have sign and scale."""
        return truth.scores

    def scale(self, truth: Truth, arguments: Arguments) -> Arrays:
        """The change under perturbations of the problem and of every stage's answer.

        A dot product of length P, and a solve of condition kappa, lose u of these besides.
        """
        self.decide(truth)
        return self.arrays(scale_of(truth, lambda t: t.scores))

    def decide(self, truth: Truth) -> None:
        """Refuse a case where eigenvalues repeat, or rounding may change more than DECIDED of a score."""
        reach = THRESHOLD * truth.conventions.unit
        if truth.curvature == "ekfac":
            gaps = truth.gaps()
            name = min(gaps, key=lambda n: gaps[n])
            # Rotations by u ||F|| / gap are the only way that a gap does harm.
            if reach > DECIDED * gaps[name]:
                raise Undecided(
                    f"two eigenvalues of a factor of {name!r} lie {gaps[name]:.1e} of its norm apart: "
                    "EK-FAC is not a function of the factors"
                )
        middle = np.median(scale_of(truth, lambda t: t.scores))
        size = float(np.sqrt(np.mean(truth.scores**2)))
        if not reach * float(middle) <= DECIDED * size:
            raise Undecided(
                f"rounding may change these scores by {reach * middle:.1e}, "
                f"and they are about {size:.1e}"
            )

    def require(self, setting: Setting) -> None:
        """Refuse a relative damping that adds nothing."""
        setting.truth.require_damped()

    def divided_by_n(self, conventions: Conventions) -> bool:
        """True where scores are a change of the mean loss's minimiser."""
        return conventions.score_scale == "1/N"

    def named(self, answer: Any) -> Arrays:
        """The scores together."""
        return {self.name: answer}

    def recorded(self, answer: Any, curvature: str) -> Arrays:
        """The scores, by the matrix that is inverted."""
        return {f"{self.name}/{curvature}": answer}


SCORES = Scores()
