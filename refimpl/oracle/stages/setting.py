"""Setting: a case with its right answers, and the arguments of its stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.truth.kronecker import Basis
from refimpl.oracle.truth.shared import truth_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["ARGUMENTS", "FED", "Mode", "Setting", "State"]

Mode = Literal["isolated", "chained"]


@dataclass(frozen=True)
class State:
    """The answers of the stages before `solve`; None for those that the implementation lacks.

    Args:
        case: The case.
        factors: (A [I, I], S [O, O]) by layer.
        basis: (w_A, Q_A, w_S, Q_S) by layer, eigenvectors as columns.
        eigenvalues: Lambda [O, I] by layer.
    """

    case: Case
    factors: dict[str, tuple[Array, Array]] | None = None
    basis: dict[str, tuple[Array, Array, Array, Array]] | None = None
    eigenvalues: dict[str, Array] | None = None


class Setting:
    """A case, its right answers, and the arguments of each stage.

    By itself it has no implementation, and stages are fed the right answers; a trial is a setting with
    one, which "chained" feeds with its own.

    Args:
        case: The case, in the conventions of the answers.
        curvature: The matrix that `solve` and `scores` invert: "ekfac", "kfac" or "gauss_newton".
    """

    def __init__(self, case: Case, curvature: str = "ekfac") -> None:
        self.case = case
        self.curvature = curvature

    @property
    def conventions(self) -> Conventions:
        """The conventions of the case."""
        return self.case.conventions

    @cached_property
    def truth(self) -> Truth:
        """The right answers."""
        return truth_of(self.case, self.curvature)

    @property
    def unit(self) -> float:
        """Unit roundoff of the compute dtype."""
        return self.conventions.unit

    @property
    def labels_known(self) -> bool:
        """Whether pseudo-gradients are a function of the case, and do not depend on drawn labels."""
        return self.conventions.fisher != "sampled"

    @cached_property
    def vectors(self) -> Array:
        """Four fixed random vectors [4, P], the same for every implementation."""
        size = sum(o * i for o, i in shapes(self.case, self.conventions).values())
        return np.random.default_rng(size).standard_normal((4, size))

    def has(self, stage: str) -> bool:
        """Whether there is an implementation, and it has a stage."""
        return False

    def ask(self, stage: str, mode: Mode = "isolated", **given: Any) -> Any:
        """The implementation's answer to a stage.

        Args:
            stage: Name of the stage.
            mode: Which upstream arrays it is fed.
            given: Arguments that differ from those of `ARGUMENTS`.
        """
        raise NotImplementedError(f"there is no implementation to ask for its {stage}")

    def factors_for(self, mode: Mode) -> dict[str, tuple[Array, Array]]:
        """The factors that later stages are fed; the reference's where it has none of its own."""
        by_implementation = mode == "chained" and self.has("factors")
        return self.ask("factors") if by_implementation else self.truth.factors

    def basis_for(self, mode: Mode) -> Basis:
        """The eigendecompositions that later stages are fed."""
        by_implementation = mode == "chained" and self.has("eigenbasis")
        return self.ask("eigenbasis", mode) if by_implementation else self.truth.basis

    def eigenvalues_for(self, mode: Mode) -> dict[str, Array]:
        """The Lambda that `solve` is fed."""
        if mode == "chained" and self.has("eigenvalues"):
            return self.ask("eigenvalues", mode)
        return self.truth.eigenvalues_in(self.basis_for(mode))

    def state_for(self, mode: Mode) -> State:
        """The state that `solve` is fed: for the Gauss-Newton Hessian the case alone."""
        if self.curvature == "gauss_newton":
            return State(self.case)
        lam = self.eigenvalues_for(mode) if self.curvature == "ekfac" else None
        return State(self.case, dict(self.factors_for(mode)), dict(self.basis_for(mode)), lam)


# Every argument that a stage's method may have besides the case: what it is unless another is given.
ARGUMENTS: Mapping[str, Callable[[Setting, Mode], Any]] = {
    "seed": lambda setting, mode: 0,
    "vectors": lambda setting, mode: setting.vectors,
    "damping": lambda setting, mode: setting.case.damping,
    "example": lambda setting, mode: 0,
    "epsilon": lambda setting, mode: 1e-3,
    "factors": lambda setting, mode: setting.factors_for(mode),
    "basis": lambda setting, mode: setting.basis_for(mode),
    "state": lambda setting, mode: setting.state_for(mode),
}
# Those of them that earlier stages give, and so depend on the mode.
FED = ("factors", "basis", "state")
