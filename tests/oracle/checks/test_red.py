"""Every check passes an honest implementation and fails one with a fault made by hand for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.faults.tools import arrays
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

SMALL = 1e-4
BY_SLUG = {check.slug: check for check in CHECKS}


def linear() -> Case:
    """A linear model with a squared error."""
    r = np.random.default_rng(3)
    layers = ({"op": "linear", "name": "fc", "bias": True},)
    parameters = {"fc.weight": r.standard_normal((2, 3)), "fc.bias": r.standard_normal(2)}
    x, y = r.standard_normal((9, 3)), r.standard_normal((9, 2))
    return Case(
        "test/linear",
        layers,
        parameters,
        ("fc",),
        x[:7],
        y[:7],
        x[7:],
        y[7:],
        LossSpec("squared_error"),
        0.1,
    )


def everywhere(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of every array in an answer."""
    return lambda answer: arrays(answer, change)


def larger(x: Any) -> Any:
    return x * (1 + SMALL)


def bumped(F: Any) -> Any:
    return F + SMALL * np.trace(F) * np.diag(np.arange(len(F)))


def skewed(F: Any) -> Any:
    return F + SMALL * np.trace(F) * np.triu(np.ones_like(F), 1)


def rolled(x: Any) -> Any:
    return x + SMALL * np.roll(x, 1, axis=-1)


def corner(A: Any) -> Any:
    A = A.copy()
    A[-1, -1] *= 1 + SMALL
    return A


def only(which: int, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of the array at one place of each layer's tuple."""
    return lambda answer: {
        n: tuple(change(a) if i == which else a for i, a in enumerate(arrays))
        for n, arrays in answer.items()
    }


def vectors(which: int, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda answer: {
        n: tuple(change(a) if i % 2 == which else a for i, a in enumerate(arrays))
        for n, arrays in answer.items()
    }


FAULTS: dict[str, Callable[[Any], Any]] = {
    "gradients-equal": everywhere(larger),
    "gradients-bias": everywhere(larger),
    "factor-a-equal": only(0, larger),
    "factor-s-equal": only(1, larger),
    "factor-a-shape": only(0, bumped),
    "factor-s-shape": only(1, bumped),
    "factor-product": only(1, larger),
    "factor-a-constant": only(0, corner),
    "factor-symmetric": only(0, skewed),
    "factor-positive": only(1, np.negative),
    "factor-s-rows": only(1, bumped),
    "eigenbasis-residual": vectors(0, larger),
    "eigenbasis-orthogonal": vectors(1, larger),
    "eigenbasis-spectrum": vectors(0, larger),
    "eigenbasis-subspaces": vectors(1, lambda Q: Q[:, ::-1]),
    "eigenvalues-equal": everywhere(larger),
    "eigenvalues-diagonal": everywhere(larger),
    "eigenvalues-trace": everywhere(larger),
    "eigenvalues-nearest": everywhere(lambda L: 10 * L),
    "eigenvalues-nonnegative": everywhere(np.negative),
    "gauss-newton-equal": larger,
    "gauss-newton-self-adjoint": rolled,
    "gauss-newton-positive": np.negative,
    "gauss-newton-linear": lambda x: x + SMALL,
    "gauss-newton-null-space": lambda x: x + SMALL,
    "solve-backward-error": larger,
    "solve-forward-error": larger,
    "solve-linear": lambda x: x + SMALL,
    "solve-self-adjoint": rolled,
    "solve-between": np.negative,
    "solve-large-damping": larger,
    "scores-equal": larger,
    "scores-ranking": np.negative,
    "scores-own-parts": larger,
    "scores-symmetric": lambda s: s * (1 + SMALL * np.arange(s.shape[1])),
    "scores-own-influence": np.negative,
    "factors-sampled-mean": only(1, lambda S: 2 * S),
    "eigenvalues-sampled-mean": everywhere(lambda L: 2 * L),
    "response-zero": lambda x: x + SMALL,
    "response-stationary": lambda x: x + 1.0,
}
# What the size of a faulty answer depends on, where it should depend on nothing of the kind.
CALLS = [0]


def _called(case: Case) -> float:
    CALLS[0] += 1
    return float(CALLS[0])


WHATS: dict[str, Callable[[Case], float]] = {
    "batch-size": lambda c: float(c.batch_size),
    "order": lambda c: float(np.sum(c.inputs[0] % 1.7)),
    "repeat": _called,
    "duplicated": lambda c: float(c.num_examples),
    "padding": lambda c: float(np.sum(c.inputs[~c.mask])) * 1e-3,
    "labels-blind": lambda c: float(np.sum(c.labels * np.arange(1, 1 + len(c.labels)))),
    "loss-scaled": lambda c: sum(c.loss.class_weight or ()),
    "precision": lambda c: float(c.dtype == "float32"),
    "alone": lambda c: float(c.num_examples + 100 * len(c.query_inputs)),
    "tokens-add": lambda c: float(c.mask.sum()),
    "large-damping": lambda c: float(c.damping > 1),
}
CASES = {
    "padding": "tokens/hostile-padding",
    "loss-scaled": "losses/class-weights",
    "tokens-add": "tokens/hostile-padding",
}


def kind(slug: str) -> str | None:
    stage = BY_SLUG[slug].stage.replace("_", "-")
    rest = slug.removeprefix(f"{stage}-")
    return rest if BY_SLUG[slug].family == "metamorphic" and rest in WHATS else None


def faulty(slug: str) -> Pipeline:
    check = BY_SLUG[slug]
    stage = check.stage
    sampled = check.family == "statistical"
    declaration = Declaration("faulty", conventions={"fisher": "sampled"} if sampled else {})

    class Faulty(Pipeline):
        pass

    honest = getattr(Pipeline, stage)

    def answer(self: Pipeline, *args: Any, **given: Any) -> Any:
        if slug in (
            "factors-sampled-variance",
            "factors-sampled-seed",
            "eigenvalues-sampled-variance",
        ):
            return honest(self, *args, **{**given, "seed": 1})
        if slug == "factors-sampled-batches":  # every batch draws what the first one draws
            case = args[0]
            return honest(self, case.but(inputs=case.inputs[:4], labels=case.labels[:4]), **given)
        if slug in ("response-slope", "response-quadratic"):
            return honest(self, *args, **{**given, "epsilon": 2 * given["epsilon"]})
        if slug == "response-odd":
            return honest(self, *args, **{**given, "epsilon": abs(given["epsilon"])})
        found = honest(self, *args, **given)
        what = kind(slug)
        if what is None:
            return FAULTS[slug](found)
        case = args[0] if args else given.get("case", getattr(given.get("state"), "case", None))
        size = 1 + SMALL * (_called(case) if case is None else WHATS[what](case))
        # One entry of each row, so that nothing scales away.
        return everywhere(lambda x: np.asarray(x) * size)(found)

    setattr(Faulty, stage, answer)
    return Faulty(declaration)


def chosen(slug: str) -> Case:
    if slug == "response-quadratic":
        return linear()
    return all_cases()[CASES.get(kind(slug) or "", "mlp/tanh-square")]


@pytest.mark.parametrize("slug", BY_SLUG)
def test_a_check_passes_what_is_right_and_fails_what_is_wrong(slug):
    check, case, wrong = BY_SLUG[slug], chosen(slug), faulty(slug)
    mode = check.modes[-1]
    right = judge_check(Trial(InProcess(Pipeline(wrong.declaration)), case), check, mode)
    assert right.verdict is Verdict.PASS, right
    found = judge_check(Trial(InProcess(wrong), case), check, mode)
    assert found.verdict is Verdict.FAIL, found
