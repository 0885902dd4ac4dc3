"""Question: what a stage was asked, what was answered, and what is right; as arrays by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.trial import Mode, Trial
from refimpl.oracle.subject.adapter import Adapter, State

__all__ = ["Arrays", "Question", "distance"]

Arrays = dict[str, Array]
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

    @cached_property
    def answer(self) -> Arrays:
        """What the implementation answered."""
        trial, mode = self.trial, self.mode
        raw = {
            "gradients": lambda: trial.gradients(),
            "factors": lambda: trial.factors(),
            "eigenbasis": lambda: trial.eigenbasis(mode),
            "eigenvalues": lambda: trial.eigenvalues(mode),
            "gauss_newton": lambda: trial.gauss_newton(self.vectors),
            "solve": lambda: trial.solve(mode, self.vectors),
            "scores": lambda: trial.scores(),
            "response": lambda: trial.response(self.example, EPSILON),
        }[self.stage]()
        return self.named(raw)

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
        return self.named(self._asked(pipeline, case))

    def _asked(self, pipeline: Adapter, case: Case) -> Any:
        trial, mode = self.trial, self.mode
        if self.stage == "gradients":
            return pipeline.gradients(case)
        if self.stage == "factors":
            return pipeline.factors(case, 0)
        if self.stage == "eigenbasis":
            return pipeline.eigenbasis(dict(trial.factors_for(mode)))
        if self.stage == "eigenvalues":
            return pipeline.eigenvalues(case, dict(trial.basis_for(mode)), 0)
        if self.stage == "gauss_newton":
            return pipeline.gauss_newton(case, self.vectors)
        if self.stage == "solve":
            state: State = replace(trial.state_for(mode), case=case)
            return pipeline.solve(state, self.vectors, case.damping)
        if self.stage == "scores":
            return pipeline.scores(case, 0)
        return pipeline.response(case, self.example, EPSILON)

    def named(self, raw: Any) -> Arrays:
        """Arrays by name, free of what is not unique: signs of eigenvectors, the start of a response.

        Args:
            raw: The stage's answer.
        """
        if self.stage == "factors":
            return {
                f"{k} of {n}": m for n, pair in raw.items() for k, m in zip("AS", pair, strict=True)
            }
        if self.stage == "eigenbasis":
            found: Arrays = {}
            for n, (w_A, Q_A, w_S, Q_S) in raw.items():
                for k, w, Q in (("A", w_A, Q_A), ("S", w_S, Q_S)):
                    found[f"eigenvalues of {k} of {n}"] = w
                    found[f"Q diag(w) Q^T of {k} of {n}"] = np.abs((Q * w) @ Q.T)
                    found[f"Q^T Q of {k} of {n}"] = np.abs(Q.T @ Q)
            return found
        if isinstance(raw, Mapping):
            return {str(n): m for n, m in raw.items()}
        if self.stage == "response":
            return {"response": raw - self.start}
        return {self.stage: raw}

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

        30 u times the relative condition of the right answer, as the checks have it. A response is
        certified to 1e-10 of its first gradient instead, and its error is that times the condition.
        """
        truth = self.trial.truth
        if self.stage == "response":
            kappa = 1 + np.linalg.norm(truth.matrix, 2) / self.case.damping
            return {"response": 4e-10 * float(kappa)}
        ask = {
            "gradients": lambda t: t.gradients,
            "factors": lambda t: t.factors,
            "eigenvalues": lambda t: t.eigenvalues_in(dict(self.trial.basis_for(self.mode))),
            "scores": lambda t: t.scores,
        }.get(self.stage)
        sizes = {n: max(float(np.abs(m).max()), 1e-300) for n, m in self.right.items()}
        if ask is None:  # what is computed from given matrices alone: n u, or kappa u
            n = float(len(self.vectors)) if self.stage != "eigenbasis" else 100.0
            kappa = self._kappa() if self.stage == "solve" else 1.0
            return dict.fromkeys(sizes, 30 * self.trial.unit * n * kappa)
        scales = self.named(truth.scale(ask))
        summed = float(self.case.num_examples) ** 0.5
        return {
            name: 30 * self.trial.unit * (float(np.abs(scales[name]).max()) / size + summed)
            for name, size in sizes.items()
        }

    def _kappa(self) -> float:
        largest = 1 / max(min(float(np.abs(m).max()) for m in self.right.values()), 1e-300)
        return 1 + abs(largest) / self.case.damping if self.case.damping else 1e6
