"""The stage "solve": the damped inverse, from what the earlier stages gave."""

from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.answer import Arrays, OneArray
from refimpl.oracle.stages.setting import Setting, State
from refimpl.oracle.stages.stage import Arguments, Stage, largest
from refimpl.oracle.truth.kronecker import damped_inverse, spectra
from refimpl.oracle.truth.scales import THRESHOLD
from refimpl.oracle.truth.truth import Truth

__all__ = ["SOLVE"]


class DampedSolves(Stage):
    """[k, P] -> [k, P]."""

    name = "solve"
    plural = "solves"
    signature = ("state", "vectors", "damping")
    form = OneArray(lambda sizes: (sizes.vectors, sizes.parameters))
    inherits = ("solve",)
    inverts = True
    amplifies = True
    checks = (("solve", "solve-forward-error"),)

    def right(self, truth: Truth, arguments: Arguments) -> Array:
        """(H + lambda)^-1 times each row, H made of the given parts or, exact, of the case."""
        state: State = arguments["state"]
        vectors, damping = arguments["vectors"], arguments["damping"]
        if state.basis is None:
            G = truth.second_moment
            return np.linalg.solve(G + damping * np.eye(len(G)), vectors.T).T
        conventions = truth.conventions
        parts = spectra(truth.curvature, state.basis, state.eigenvalues, damping, conventions)
        matrices = unflatten(vectors, state.case, conventions)
        return flatten(damped_inverse(parts, matrices), conventions)

    def tolerances(self, truth: Truth, arguments: Arguments, right: Arrays) -> dict[str, float]:
        """Kappa u for each of k vectors; the inverse's norm is that of the largest entry."""
        damping = truth.case.damping
        kappa = 1 + 1 / min(largest(a) for a in right.values()) / damping if damping else 1e6
        k = float(len(arguments["vectors"]))
        return dict.fromkeys(right, THRESHOLD * truth.conventions.unit * k * kappa)

    def require(self, setting: Setting) -> None:
        """Refuse a relative damping that adds nothing."""
        setting.truth.require_damped()

    def named(self, answer: Any) -> Arrays:
        """The solutions together."""
        return {self.name: answer}

    def recorded(self, answer: Any, curvature: str) -> Arrays:
        """The solutions, by the matrix that is inverted."""
        return {f"{self.name}/{curvature}": answer}


SOLVE = DampedSolves()
