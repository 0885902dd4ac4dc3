"""What is said of wrong answers: of known mistakes, of pairs, of scales, and of unknown ones."""

from typing import Any

import numpy as np
import pytest
from oracle.judging import check_of

from refimpl.oracle.cases import all_cases
from refimpl.oracle.diagnosis import diagnose
from refimpl.oracle.diagnosis.structure import size_of_error
from refimpl.oracle.faults import FAULTS, edited
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

KNOWN = {f.slug: f for f in FAULTS}


def _said(adapter: Pipeline, slug: str, case: str = "mlp/tanh-square") -> str:
    check = check_of(slug)
    return "\n".join(diagnose(Trial(InProcess(adapter), all_cases()[case]), check, check.modes[0]))


def test_empirical_fisher_is_named() -> None:
    """The sentence says what was taken for what."""
    said = _said(edited(Pipeline, KNOWN["empirical-for-true-fisher"])(), "factor-s-equal")
    assert "labels come from the data, not from the model" in said
    assert "S of fc1" in said


def test_a_fault_downstream_of_another_is_told_by_its_cause() -> None:
    """Scores that are wrong since A is are explained at the factors."""
    said = _said(edited(Pipeline, KNOWN["inputs-centred"])(), "scores-equal")
    assert said.startswith("factors:")
    assert KNOWN["inputs-centred"].sentence in said


def test_scores_that_do_not_call_their_own_solves_may_have_their_faults() -> None:
    """Solves are right, and scores divide by Lambda + 2 lambda in a line of their own."""

    class Twice(Pipeline):
        def scores(self, case: Case, seed: int) -> Array:
            return super().scores(case.but(damping=2 * case.damping), seed)

    said = _said(Twice(), "scores-equal")
    assert said.startswith("scores:")
    assert KNOWN["damping-added-twice"].sentence in said


def test_an_unknown_scalar_is_named_by_the_case() -> None:
    """A factor N on S, whoever put it there."""

    class Scaled(Pipeline):
        def s_mean(self, S: Any, N: int) -> Any:
            return S * 7 / N

    assert "a factor of 7" in _said(Scaled(), "factor-s-equal")


def test_what_is_on_no_list_is_located() -> None:
    """Noise in one example's gradient of one layer: which layer, which example."""

    class Odd(Pipeline):
        def gradients(self, case: Case) -> dict[str, Array]:
            found = super().gradients(case)
            found["fc2"] = found["fc2"].copy()
            found["fc2"][3] += np.random.default_rng(0).standard_normal(found["fc2"][3].shape)
            return found

    said = _said(Odd(), "gradients-equal")
    assert "wrong is fc2 only" in said
    assert "only examples [3] of" in said


def test_a_factor_is_no_reason_to_suspect_what_changes_something_else() -> None:
    """S is right up to a factor: mistakes in A leave S as it is, and explain nothing of it."""

    class Padded(Pipeline):
        def s_mean(self, S: Any, N: int) -> Any:
            return S * 10 / 12 / N

    said = _said(Padded(), "factor-s-equal")
    assert said == "factors: a factor of 0.833333 in S of fc1, S of fc2"


def test_an_iteration_that_ends_early_is_not_taken_for_a_factor() -> None:
    """Scores that are right to 5e-14 are not scores that lack a sign, times -1."""

    class Early(Pipeline):
        def scores(self, case: Case, seed: int) -> Array:
            s = super().scores(case, seed)
            return s + 2e-14 * np.abs(s).max() * np.random.default_rng(0).standard_normal(s.shape)

    said = _said(Early(), "scores-equal", "losses/two-classes")
    assert "an iteration that ends early" in said
    assert "factor" not in said
    assert "minus" not in said


@pytest.mark.parametrize(("dtype", "rounded"), [("float64", True), ("float32", False)])
def test_a_declared_precision_is_no_finding(dtype: str, rounded: bool) -> None:
    """A small error beside it is; the cause is not that numbers have the digits of their dtype."""

    class Off(Pipeline):
        declaration = Declaration("off", conventions={"dtype": dtype})

        def gradients(self, case: Case) -> dict[str, Array]:
            found = {n: np.asarray(g, np.float32) for n, g in super().gradients(case).items()}
            found["fc2"] = found["fc2"] + np.float32(0 if rounded else 5e-5)
            return found

    assert ("rounded to float32" in _said(Off(), "gradients-equal")) is rounded


def test_what_should_be_zero_is_said_to_be() -> None:
    """Not that it is off by infinitely much."""
    assert (
        size_of_error(np.array([0.0, 2.0]), np.zeros(2))
        == "right is zero, and this is up to 2.0e+00"
    )
    assert size_of_error(np.array([3.0]), np.ones(1)).startswith(
        "off by 2.0e+00 of its largest entry"
    )


@pytest.mark.parametrize("slug", ["generator-restarts-per-batch", "seed-ignored"])
def test_draws_are_told_by_few_questions(slug: str) -> None:
    """With another generator than the pipeline's, so that no answer is reproduced."""

    class Other(Pipeline):
        def numbers(self, case: Case, f: Any, place: slice, seed: int) -> Any:
            return super().numbers(case, f, place, 1000 + seed)

    fault = KNOWN[slug]
    said = _said(edited(Other, fault)(fault.declaration), "factors-sampled-mean")
    assert fault.sentence in said
