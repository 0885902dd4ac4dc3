"""Answers that depend on earlier questions: told from those that are wrong by themselves, and named."""

import numpy as np
import pytest

from refimpl.oracle.cases import quick
from refimpl.oracle.checks import changes
from refimpl.oracle.diagnosis.history import faults_of_state
from refimpl.oracle.faults import FAULTS, faulty
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial

CASE = quick()["mlp/tanh-square"]
HALF = changes.selected(CASE, np.arange(CASE.num_examples // 2))
TURNED = changes.selected(CASE, np.arange(CASE.num_examples)[::-1])
OTHER_QUERIES = CASE.but(query_inputs=CASE.query_inputs + 1)


def trial_of(slug: str) -> Trial:
    return Trial(InProcess(faulty(next(f for f in FAULTS if f.slug == slug))), CASE)


def ask(trial: Trial, stage: str) -> None:
    {
        "gradients": trial.gradients,
        "factors": trial.factors,
        "eigenbasis": lambda: trial.eigenbasis("isolated", dict(trial.truth.factors)),
        "eigenvalues": lambda: trial.eigenvalues("isolated"),
        "gauss_newton": lambda: trial.gauss_newton(trial.vectors),
        "solve": lambda: trial.solve("isolated", trial.vectors),
        "scores": trial.scores,
    }[stage]()


@pytest.mark.parametrize(
    ("slug", "stage", "before"),
    [
        ("gradients-cached-by-name", "gradients", TURNED),
        ("factors-cached-by-name", "factors", HALF),
        ("lambda-cached-by-name", "eigenvalues", HALF),
        ("curvature-cached-by-name", "gauss_newton", HALF),
        ("scores-cached-by-name", "scores", OTHER_QUERIES),
        ("queries-cached-by-name", "scores", OTHER_QUERIES),
        ("factors-accumulate-over-calls", "factors", CASE),
        ("lambda-accumulates-over-calls", "eigenvalues", CASE),
        ("basis-cached-by-shape", "eigenbasis", HALF),
        ("basis-of-running-average", "eigenbasis", HALF),
        ("damping-of-first-call", "solve", CASE.but(damping=1.0)),
        ("damping-accumulates-over-calls", "solve", CASE),
        ("products-differ-between-calls", "gauss_newton", HALF),
    ],
)
def test_what_was_asked_before_is_found_and_named(slug, stage, before):
    trial = trial_of(slug)
    ask(trial.on(before), stage)
    ask(trial, stage)
    named = [f.slug for found in faults_of_state(trial, stage) for f in found.hypothesis.faults]
    assert slug in named


@pytest.mark.parametrize("slug", ["s-summed-over-examples", "scores-cached-by-name"])
def test_what_is_wrong_by_itself_or_was_never_asked_before_is_not_blamed_on_history(slug):
    trial = trial_of(slug)
    ask(trial, "factors")
    ask(trial, "scores")
    assert faults_of_state(trial, "scores") == []


def test_the_reference_remembers_nothing():
    trial = Trial(InProcess(Reference()), CASE)
    for case in (HALF, CASE):
        for stage in ("gradients", "factors", "eigenvalues", "solve", "scores"):
            ask(trial.on(case), stage)
    assert faults_of_state(trial, "scores") == []


def test_a_state_on_no_list_is_still_told():
    class Ageing(Reference):
        calls = 0

        def gradients(self, case):
            Ageing.calls += case.id == CASE.id
            return {n: g * Ageing.calls for n, g in super().gradients(case).items()}

    trial = Trial(InProcess(Ageing()), CASE)
    ask(trial, "gradients")
    ask(trial.on(CASE), "gradients")
    (found,) = faults_of_state(trial, "gradients")
    assert found.hypothesis is None
    assert "asked twice, it has two answers" in found.text
