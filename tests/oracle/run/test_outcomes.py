"""An exception in one stage is an error of that stage, and of what is chained from it, of nothing else."""

from functools import cache

import pytest
import torch
from oracle.judging import check_of

from refimpl.oracle import Adapter, Unsupported
from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.run import outcomes
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

CASE = "mlp/tanh-square"
# The stages that are fed a stage's answer where they are chained, directly or by way of another.
CHAINED = {
    "factors": ("eigenbasis", "eigenvalues", "solve", "scores"),
    "eigenbasis": ("eigenvalues", "solve", "scores"),
    "eigenvalues": ("solve", "scores"),
}


def raises(*arguments, **named):
    raise ZeroDivisionError("float division by zero")


def refuses(*arguments, **named):
    raise Unsupported("not here")


def not_numbers(*arguments, **named):
    return None


def outcomes_of(adapter: Adapter) -> tuple[Outcome, ...]:
    report = run_checks(InProcess(adapter), {CASE: quick()[CASE]}, CHECKS, diagnose=False)
    return report.outcomes


@cache
def honest(curvature: str) -> dict[str, Verdict]:
    adapter = Reference()
    adapter.declaration = Declaration("honest", curvature=curvature)
    return {o.id: o.verdict for o in outcomes_of(adapter)}


@pytest.mark.parametrize("curvature", ["ekfac", "kfac", "gauss_newton"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_the_others_are_judged_as_if_nothing_had_happened(stage: str, curvature: str) -> None:
    adapter = type("Fake", (Reference,), {stage: raises})()
    adapter.declaration = Declaration("fake", curvature=curvature)
    for outcome in outcomes_of(adapter):
        chained = outcome.mode == "chained" and outcome.stage in CHAINED.get(stage, ())
        expected = honest(curvature)[outcome.id]
        if outcome.stage == stage and expected is not Verdict.INDETERMINATE:
            assert outcome.verdict is Verdict.ERROR, outcome
        if outcome.verdict is Verdict.ERROR:
            assert outcome.stage == stage or chained, outcome
            assert outcome.detail == f"{stage} raised ZeroDivisionError: float division by zero"
        elif outcome.check == "scores-large-damping" and stage == "gradients":
            assert outcome.verdict is Verdict.INDETERMINATE  # it compares with these
        else:
            assert outcome.verdict is expected, outcome


@pytest.mark.parametrize("answer", [refuses, not_numbers])
@pytest.mark.parametrize("stage", ["gradients", "factors"])  # those that other checks ask besides
def test_nor_by_a_stage_that_refuses_or_answers_badly(stage: str, answer) -> None:
    adapter = type("Fake", (Reference,), {stage: answer})()
    others = [o for o in outcomes_of(adapter) if o.stage != stage and o.mode == "isolated"]
    verdicts = {o.verdict for o in others}
    assert verdicts == {Verdict.PASS, Verdict.INDETERMINATE}


def test_the_user_interrupts_the_run_and_no_stage() -> None:
    def interrupted(*arguments):
        raise KeyboardInterrupt

    adapter = type("Fake", (Reference,), {"gradients": interrupted})()
    with pytest.raises(KeyboardInterrupt):
        outcomes_of(adapter)


class TwiceInTorch(Reference):
    """Answers twice the gradients, in tensors that numpy reads only when they are detached."""

    def gradients(self, case):
        right = super().gradients(case)
        return {n: torch.tensor(2 * g, requires_grad=True) for n, g in right.items()}


def explained(adapter: Adapter) -> tuple[str, ...]:
    """What is said of its gradients when they have been asked for before."""
    trial = Trial(InProcess(adapter), quick()[CASE])
    trial.gradients()
    return outcomes.explanation(trial, check_of("gradients-equal"), "isolated")


def test_a_diagnosis_reads_what_the_checks_read() -> None:
    assert explained(TwiceInTorch()) == ("gradients: a factor of 2",)


def test_a_diagnosis_that_breaks_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refimpl.oracle.diagnosis.diagnose", raises)
    (sentence,) = explained(TwiceInTorch())
    assert sentence.startswith("the search for a cause broke (ZeroDivisionError: float division")
