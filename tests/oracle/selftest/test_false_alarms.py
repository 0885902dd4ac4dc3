"""False alarms that the reference itself once set off."""

import numpy as np
import pytest
from oracle.judging import verdict

from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks.gauss_newton import null_space
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.outcomes import outcomes_of
from refimpl.oracle.selftest.honest import implementation, questions
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.shared import truth_of


@pytest.mark.parametrize(
    ("slug", "case"),
    [
        ("response-odd", "conditioning/large-logits"),
        ("response-slope", "conditioning/large-inputs"),
    ],
)
def test_a_weight_that_moves_logits_far_is_not_taken_for_a_small_one(slug: str, case: str) -> None:
    assert verdict(Reference(), all_cases()[case], slug) is Verdict.PASS


def test_a_small_eigenvalue_does_not_belong_to_the_null_space() -> None:
    null = null_space(np.diag([1.0, 1e-14, 0.0]))
    np.testing.assert_allclose(np.abs(null), [[0.0, 0.0, 1.0]])


def test_solves_are_judged_also_where_conventions_leave_the_loss_undefined() -> None:
    """A mean over tokens of a squared error is no convention, and no reason not to look at a solve."""
    adapter = implementation("pipeline", {"loss_reduction": "token_mean"})
    case = all_cases()["losses/linear-regression"]
    assert verdict(adapter, case, "gradients-equal") is Verdict.INDETERMINATE
    assert verdict(adapter, case, "solve-self-adjoint", "chained") is Verdict.PASS


# Of an author's own: a fit draws the labels of S, and then from the same generator those of Lambda.
class DrawsOn(Pipeline):
    """Its scores are those of one fit; its factors and eigenvalues each begin with the seed."""

    declaration = Declaration("draws on", conventions={"fisher": "sampled"})
    fitting = 0

    def scores(self, case: Case, seed: int) -> Array:
        """See `Adapter`."""
        self.fitting = 1
        try:
            return super().scores(case, seed)
        finally:
            self.fitting = 0

    def eigenvalues(self, case, basis, seed):
        """See `Adapter`."""
        return super().eigenvalues(case, basis, seed + 1000 * self.fitting)


def test_scores_of_other_sampled_labels_than_those_of_the_factors_are_no_mistake() -> None:
    case = all_cases()["mlp/tanh-square"]
    assert verdict(DrawsOn(), case, "scores-own-parts", "chained") is Verdict.INDETERMINATE
    same = implementation("pipeline", {"fisher": "sampled"})
    assert verdict(same, case, "scores-own-parts", "chained") is Verdict.PASS
    exact = DrawsOn(Declaration("exact"))
    exact.scores = lambda case, seed: 2 * Pipeline.scores(exact, case, seed)
    assert verdict(exact, case, "scores-own-parts", "chained") is Verdict.FAIL


def test_no_slope_is_judged_where_the_trained_parameters_lie_in_a_kink() -> None:
    case = all_cases()["mlp/relu"]
    own = {name: np.array(p) for name, p in case.parameters.items()}
    first = case.tracked[0]
    own[f"{first}.bias"][0] = (
        -own[f"{first}.weight"][0] @ case.inputs[1]
    )  # a pre-activation of zero
    kinked = case.but(parameters=own)
    for slug in ("response-slope", "response-odd"):
        assert verdict(Reference(), case, slug) is Verdict.PASS
        assert verdict(Reference(), kinked, slug) is Verdict.INDETERMINATE
    assert verdict(Reference(), kinked, "response-zero") is Verdict.PASS


@pytest.mark.parametrize(("off", "said"), [(25.0, Verdict.PASS), (35.0, Verdict.FAIL)])
def test_two_answers_may_each_be_off_by_what_one_may(off, said) -> None:
    case = all_cases()["mlp/tanh-square"]
    by = off * 2.0**-53 * scale_of(truth_of(case, "ekfac"), lambda t: t.scores)

    class Off(Reference):
        """Its scores are off one way, and those of another number of examples the other way."""

        def scores(self, case, seed):
            own = len(case.inputs) == by.shape[1]
            return super().scores(case, seed) + (by if own else -np.tile(by, 2))

    for slug in ("scores-equal", "scores-duplicated"):  # of kronfluence 17 and 37 times the scale
        assert verdict(Off(), case, slug) is said


# Scripts form (H + lambda)^-1: of small damping it is off by far more than a solve, but by no mistake.
@pytest.mark.parametrize("name", ["tiny-damping", "collinear", "graded-inputs"])
@pytest.mark.parametrize(
    "variant", [{"curvature": c} for c in ("ekfac", "kfac", "gauss_newton")], ids=str
)
def test_who_forms_the_inverse_is_right(variant, name) -> None:
    session = InProcess(implementation("inverting", variant))
    case = all_cases()[f"conditioning/{name}"]
    outcomes = outcomes_of(session, case, questions("inverting"))
    assert {o.stage for o in outcomes} == {"solve", "scores"}
    assert Verdict.PASS in {o.verdict for o in outcomes if o.stage == "scores"}
    assert [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)] == []
