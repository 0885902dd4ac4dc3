"""Question: the inputs of a stage, its answer and the right answer, as arrays by name."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages import STAGES, Stage
from refimpl.oracle.stages.answer import Arrays
from refimpl.oracle.stages.setting import Mode, State
from refimpl.oracle.subject.adapter import Adapter
from refimpl.oracle.subject.trial import Trial

__all__ = ["Question", "distance"]

EXAMPLE = 1
EPSILON = 1e-3
MOST = 300  # parameters up to which an operator is applied to all unit vectors


def distance(a: Array, r: Array) -> float:
    """Largest difference of two arrays, relative to the largest entry of the second.

    Args:
        a: An answer, any shape.
        r: The array that it is compared with, same shape.
    """
    return float(np.abs(a - r).max()) / max(float(np.abs(r).max()), 1e-300)


@dataclass(frozen=True)
class Question:
    """A stage of an implementation on a case.

    Args:
        trial: The implementation on the case.
        stage: Name of the stage.
        mode: "isolated" feeds the stage the truth, "chained" the implementation's own answers.
    """

    trial: Trial
    stage: str
    mode: Mode

    @property
    def case(self) -> Case:
        """The trial's case."""
        return self.trial.case

    @cached_property
    def vectors(self) -> Array:
        """Vectors [k, P] for `gauss_newton` and `solve`: all unit vectors, or eight random ones."""
        P = sum(o * i for o, i in self.trial.truth.shapes().values())
        return np.eye(P) if P <= MOST else np.random.default_rng(0).standard_normal((8, P))

    @property
    def definition(self) -> Stage:
        """The definition of the stage."""
        return STAGES[self.stage]

    @cached_property
    def given(self) -> dict[str, Any]:
        """The arguments of the stage that the mode does not determine."""
        given = {"vectors": self.vectors, "example": self.example, "epsilon": EPSILON}
        return {name: value for name, value in given.items() if name in self.definition.signature}

    @cached_property
    def answer(self) -> Arrays:
        """The implementation's answer."""
        return self.named(self.trial.ask(self.stage, self.mode, **self.given))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The implementation's inputs besides the case."""
        return self.definition.arguments(self.trial, self.mode, **self.given)

    @property
    def example(self) -> int:
        """The training example of a response."""
        return min(EXAMPLE, self.case.num_examples - 1)

    def answer_of(self, pipeline: Adapter, **conventions: Any) -> Arrays:
        """The answer of another adapter to the same question.

        Args:
            pipeline: The adapter that answers.
            conventions: Conventions of the case to change, by name.
        """
        case = self.case
        if conventions:
            case = case.but(conventions=case.conventions.but(**conventions))
        arguments = {
            n: replace(a, case=case) if isinstance(a, State) else a
            for n, a in self.arguments.items()
        }
        return self.named(self.definition.call(pipeline, case, arguments))

    def named(self, raw: Any) -> Arrays:
        """Arrays by name without what is not unique: signs of eigenvectors, the start of a response.

        Args:
            raw: An answer as the stage's method returns it.
        """
        arrays = self.definition.named(raw)
        if self.definition.gives_parameters:
            return {name: array - self.start for name, array in arrays.items()}
        return arrays

    @cached_property
    def start(self) -> Array:
        """The trained parameters as a flat vector."""
        pipeline = Pipeline(self.trial.declaration)
        whole = pipeline.current(self.case, pipeline.module(self.case))
        return pipeline.flat(self.case, pipeline.in_layers(self.case, whole)).double().numpy()

    @cached_property
    def right(self) -> Arrays:
        """The right answer."""
        return self.answer_of(Pipeline(self.trial.declaration))

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """Tolerance of each array, relative to its largest entry.

        See `Stage.tolerances`.
        """
        return self.definition.tolerances(self.trial.truth, self.arguments, self.right)
