"""Trial: one implementation on one case; every question is asked once, and its answer checked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.subject.adapter import State, Unsupported
from refimpl.oracle.subject.answers import BadAnswer, checked
from refimpl.oracle.subject.session import Failed, Session
from refimpl.oracle.truth.kronecker import Basis, Factors
from refimpl.oracle.truth.shared import truth_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["Asked", "Mode", "Trial"]

Mode = Literal["isolated", "chained"]


@dataclass(frozen=True)
class Asked:
    """A question that was answered.

    Args:
        stage: Of which stage.
        case: About which case.
        arguments: The stage's own.
        answer: What was answered.
    """

    stage: str
    case: Case
    arguments: Mapping[str, Any]
    answer: Any

    @property
    def renamed(self) -> "Asked":
        """The same question about the same case under another name."""
        case = self.case.but(id=f"{self.case.id}, renamed")
        given = {
            n: replace(a, case=a.case.but(id=case.id)) if isinstance(a, State) else a
            for n, a in self.arguments.items()
        }
        return replace(self, case=case, arguments=given)


class Trial:
    """An implementation and a case: its answers, and the right ones beside them.

    Args:
        session: Where the answers come from.
        case: The case; the declaration's conventions are put into it.
        dtype: What is computed in, if not what is declared.
        history: All that was asked before, of trials that share it; default: nothing.
    """

    def __init__(
        self,
        session: Session,
        case: Case,
        dtype: str | None = None,
        history: list[Asked] | None = None,
    ) -> None:
        self.session = session
        self.declaration = session.described.declaration
        chosen = self.declaration.chosen
        self.conventions: Conventions = chosen if dtype is None else chosen.but(dtype=dtype)
        self.case = case.but(conventions=self.conventions)
        self.history: list[Asked] = [] if history is None else history
        self.seconds = 0.0
        self._answers: dict[Any, Any] = {}

    @cached_property
    def truth(self) -> Truth:
        """The right answers."""
        return truth_of(self.case, self.declaration.curvature)

    @property
    def unit(self) -> float:
        """Unit roundoff of what the implementation computes in."""
        return self.conventions.unit

    @cached_property
    def vectors(self) -> Array:
        """Four fixed random vectors [4, P], the same for every implementation."""
        size = sum(o * i for o, i in shapes(self.case, self.conventions).values())
        return np.random.default_rng(size).standard_normal((4, size))

    @property
    def labels_known(self) -> bool:
        """Whether its pseudo-gradients are a function of the case, and not drawn."""
        return self.conventions.fisher != "sampled"

    def on(self, case: Case, dtype: str | None = None) -> "Trial":
        """The same implementation on another case, for checks that compare its own answers.

        Args:
            case: The other case; with the same one every question is asked anew.
            dtype: What is computed in; default: as in this trial.
        """
        return Trial(self.session, case, dtype or self.conventions.dtype, self.history)

    def gradients(self) -> dict[str, Array]:
        """Its gradients [N, O, I] by layer."""
        return self._ask("gradients", "", {})

    def factors(self, seed: int = 0) -> dict[str, tuple[Array, Array]]:
        """Its factors (A, S) by layer."""
        return self._ask("factors", seed, {"seed": seed})

    def eigenbasis(
        self, mode: Mode, factors: Factors | None = None
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """Its eigendecompositions of the factors that the mode feeds it, or of given ones."""
        arguments = {"factors": self.factors_for(mode) if factors is None else factors}
        return self._ask("eigenbasis", (mode, id(factors)), arguments)

    def eigenvalues(
        self, mode: Mode, seed: int = 0, basis: Basis | None = None
    ) -> dict[str, Array]:
        """Its Lambda [O, I] in the basis that the mode feeds it, or in a given one."""
        arguments = {"basis": self.basis_for(mode) if basis is None else basis, "seed": seed}
        return self._ask("eigenvalues", (mode, seed, id(basis)), arguments)

    def gauss_newton(self, vectors: Array) -> Array:
        """Its products with the Gauss-Newton Hessian [k, P]."""
        return self._ask("gauss_newton", vectors.tobytes(), {"vectors": vectors}, len(vectors))

    def solve(self, mode: Mode, vectors: Array, damping: float | None = None) -> Array:
        """Its damped solves [k, P] from the parts that the mode feeds it."""
        self.truth.require_damped()
        state = self.state_for(mode)
        value = self.case.damping if damping is None else damping
        arguments = {"state": state, "vectors": vectors, "damping": value}
        return self._ask("solve", (mode, vectors.tobytes(), value), arguments, len(vectors))

    def scores(self, seed: int = 0) -> Array:
        """Its influences [Q, N]."""
        self.truth.require_damped()
        return self._ask("scores", seed, {"seed": seed})

    def response(self, example: int, epsilon: float) -> Array:
        """Its response [P] to an example."""
        return self._ask("response", (example, epsilon), {"example": example, "epsilon": epsilon})

    def factors_for(self, mode: Mode) -> dict[str, tuple[Array, Array]]:
        """The factors that later stages are fed; the reference's where it has none of its own."""
        own = mode == "chained" and self.has("factors")
        return self.factors() if own else self.truth.factors

    def basis_for(self, mode: Mode) -> Basis:
        """The eigendecompositions that later stages are fed."""
        own = mode == "chained" and self.has("eigenbasis")
        return self.eigenbasis(mode) if own else self.truth.basis

    def eigenvalues_for(self, mode: Mode) -> dict[str, Array]:
        """The Lambda that `solve` is fed."""
        if mode == "chained" and self.has("eigenvalues"):
            return self.eigenvalues(mode)
        return self.truth.eigenvalues_in(self.basis_for(mode))

    def state_for(self, mode: Mode) -> State:
        """What `solve` is fed: for the Gauss-Newton Hessian the case alone."""
        kind = self.declaration.curvature
        if kind == "gauss_newton":
            return State(self.case)
        lam = self.eigenvalues_for(mode) if kind == "ekfac" else None
        return State(self.case, dict(self.factors_for(mode)), dict(self.basis_for(mode)), lam)

    def has(self, stage: str) -> bool:
        """Whether the implementation has a stage.

        Args:
            stage: Its name.
        """
        return stage in self.session.described.stages

    def _ask(self, stage: str, key: Any, arguments: Mapping[str, Any], rows: int = 0) -> Any:
        if (stage, key) not in self._answers:
            start = time.perf_counter()
            try:
                raw = self.session.call(stage, self.case, arguments)
                found = checked(stage, raw, self.case, self.conventions, rows)
                self.history.append(Asked(stage, self.case, arguments, found))
            except (Unsupported, Failed, BadAnswer) as error:  # told to every check that asks again
                found = error
            self.seconds += time.perf_counter() - start
            self._answers[stage, key] = found
        answer = self._answers[stage, key]
        if isinstance(answer, Exception):
            raise answer
        return answer
