"""Trial: one implementation on one case; every question is asked once, and its answer checked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.stages.setting import Mode, Setting, State
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed, Session
from refimpl.oracle.truth.kronecker import Basis, Factors

__all__ = ["AnsweredQuestion", "Trial"]


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question to a stage, with the implementation's answer.

    Args:
        stage: Name of the stage.
        case: The case, in the declared conventions.
        arguments: Arguments of the stage by name, without the case.
        answer: The answer as float64 arrays.
    """

    stage: str
    case: Case
    arguments: Mapping[str, Any]
    answer: Any

    @property
    def renamed(self) -> "AnsweredQuestion":
        """The same question about the same case under another name."""
        case = self.case.but(id=f"{self.case.id}, renamed")
        arguments = {
            n: replace(a, case=a.case.but(id=case.id)) if isinstance(a, State) else a
            for n, a in self.arguments.items()
        }
        return replace(self, case=case, arguments=arguments)


class Trial(Setting):
    """An implementation on a case: its answers, and the right ones beside them.

    Args:
        session: Session with the implementation.
        case: The case; the declaration's conventions are put into it.
        dtype: Compute dtype, if not the declared one.
        history: Earlier questions and answers, shared between trials; default: none.
    """

    def __init__(
        self,
        session: Session,
        case: Case,
        dtype: str | None = None,
        history: list[AnsweredQuestion] | None = None,
    ) -> None:
        self.session = session
        self.declaration = session.described.declaration
        chosen = self.declaration.chosen
        conventions = chosen if dtype is None else chosen.but(dtype=dtype)
        super().__init__(case.but(conventions=conventions), self.declaration.curvature)
        self.history: list[AnsweredQuestion] = [] if history is None else history
        self.seconds = 0.0
        # With the arguments that were given: while they are kept, no other has their id.
        self._answers: dict[Any, tuple[Any, Mapping[str, Any]]] = {}

    def on(self, case: Case, dtype: str | None = None) -> "Trial":
        """The same implementation on another case, for checks that compare its own answers.

        Args:
            case: The other case; with the same one every question is asked anew.
            dtype: Compute dtype; default: that of this trial.
        """
        return Trial(self.session, case, dtype or self.conventions.dtype, self.history)

    def has(self, stage: str) -> bool:
        """Whether the implementation has a stage."""
        return stage in self.session.described.stages

    def ask(self, stage: str, mode: Mode = "isolated", **given: Any) -> Any:
        """The implementation's answer to a stage, as float64 arrays; the same question is asked once.

        Args:
            stage: Name of the stage.
            mode: Whether it is fed the reference's answers to earlier stages, or its own.
            given: Arguments that differ from those of `ARGUMENTS`.

        Raises:
            Unsupported: The implementation does not claim it.
            Failed: It crashed, hung or answered nothing.
            BadAnswer: It answered what the stage does not return.
            Undecided: The case is none that the stage can be asked about.
        """
        known = STAGES[stage]
        known.require(self)
        key = known.key(self, mode, given)
        if key not in self._answers:
            arguments = known.arguments(self, mode, **given)
            start = time.perf_counter()
            try:
                raw = self.session.call(stage, self.case, arguments)
                answer = known.read(raw, self.case, len(arguments.get("vectors", ())))
                self.history.append(AnsweredQuestion(stage, self.case, arguments, answer))
            except (Unsupported, Failed, BadAnswer) as error:  # told to every check that asks again
                answer = error
            self.seconds += time.perf_counter() - start
            self._answers[key] = answer, given
        answer, _ = self._answers[key]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def gradients(self) -> dict[str, Array]:
        """Its gradients [N, O, I] by layer."""
        return self.ask("gradients")

    def factors(self, seed: int = 0) -> dict[str, tuple[Array, Array]]:
        """Its factors (A, S) by layer."""
        return self.ask("factors", seed=seed)

    def eigenbasis(
        self, mode: Mode, factors: Factors | None = None
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """Its eigendecompositions of the factors that the mode feeds it, or of given ones."""
        return self.ask("eigenbasis", mode, factors=factors)

    def eigenvalues(
        self, mode: Mode, seed: int = 0, basis: Basis | None = None
    ) -> dict[str, Array]:
        """Its Lambda [O, I] in the basis that the mode feeds it, or in a given one."""
        return self.ask("eigenvalues", mode, basis=basis, seed=seed)

    def gauss_newton(self, vectors: Array) -> Array:
        """Its products with the Gauss-Newton Hessian [k, P]."""
        return self.ask("gauss_newton", vectors=vectors)

    def solve(self, mode: Mode, vectors: Array, damping: float | None = None) -> Array:
        """Its damped solves [k, P] from the parts that the mode feeds it."""
        return self.ask("solve", mode, vectors=vectors, damping=damping)

    def scores(self, seed: int = 0) -> Array:
        """Its influences [Q, N]."""
        return self.ask("scores", seed=seed)

    def response(self, example: int, epsilon: float) -> Array:
        """Its response [P] to an example."""
        return self.ask("response", example=example, epsilon=epsilon)
