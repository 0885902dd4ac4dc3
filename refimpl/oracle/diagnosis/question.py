"""Question: what a stage was asked, what was answered, and what is right; as arrays by name."""

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
MOST = 300  # parameters up to which an operator is asked for its whole matrix


def distance(a: Array, r: Array) -> float:
    """Largest difference of two arrays, relative to the largest entry of the second.

    Args:
        a: An answer.
        r: What it is compared with.
    """
    return float(np.abs(a - r).max()) / max(float(np.abs(r).max()), 1e-300)


@dataclass(frozen=True)
class Question:
    """A stage of an implementation on a case.

    Args:
        trial: The implementation on the case.
        stage: The stage.
        mode: What the stage is fed.
    """

    trial: Trial
    stage: str
    mode: Mode

    @property
    def case(self) -> Case:
        """The case."""
        return self.trial.case

    @cached_property
    def vectors(self) -> Array:
        """What `gauss_newton` and `solve` are applied to: all unit vectors, or eight random ones."""
        P = sum(o * i for o, i in self.trial.truth.shapes().values())
        return np.eye(P) if P <= MOST else np.random.default_rng(0).standard_normal((8, P))

    @property
    def known(self) -> Stage:
        """The stage."""
        return STAGES[self.stage]

    @cached_property
    def given(self) -> dict[str, Any]:
        """The arguments of the stage that the mode does not say."""
        given = {"vectors": self.vectors, "example": self.example, "epsilon": EPSILON}
        return {name: value for name, value in given.items() if name in self.known.signature}

    @cached_property
    def answer(self) -> Arrays:
        """What the implementation answered."""
        return self.named(self.trial.ask(self.stage, self.mode, **self.given))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the implementation was given besides the case."""
        return self.known.arguments(self.trial, self.mode, **self.given)

    @property
    def example(self) -> int:
        """The training example of a response."""
        return min(EXAMPLE, self.case.num_examples - 1)

    def of(self, pipeline: Adapter, **conventions: Any) -> Arrays:
        """What a pipeline answers to the same question.

        Args:
            pipeline: The pipeline.
            conventions: Those of the case that are changed.
        """
        case = self.case
        if conventions:
            case = case.but(conventions=case.conventions.but(**conventions))
        arguments = {
            n: replace(a, case=case) if isinstance(a, State) else a
            for n, a in self.arguments.items()
        }
        return self.named(self.known.call(pipeline, case, arguments))

    def named(self, raw: Any) -> Arrays:
        """Arrays by name, free of what is not unique: signs of eigenvectors, the start of a response.

        Args:
            raw: The stage's answer.
        """
        arrays = self.known.named(raw)
        if self.known.gives_parameters:
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
        """What is right."""
        return self.of(Pipeline(self.trial.declaration))

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """How far, relative to its largest entry, an array may be from another one of its name.

        See `Stage.tolerances`.
        """
        return self.known.tolerances(self.trial.truth, self.arguments, self.right)
