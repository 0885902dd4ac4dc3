"""What is claimed and compared with nothing is not shown, and ends with an exit code of its own."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from refimpl.cli.main import app
from refimpl.oracle import Declaration
from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.results.report import NOT_SHOWN
from refimpl.oracle.run.outcomes import outcome_of
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial
from tests.oracle.fakes import Nought

FAKES = Path(__file__).parents[1] / "fakes.py"
CASE = "mlp/tanh-square"


def _run(command: str, name: str, *options: str):
    arguments = [command, f"{FAKES}:{name}", "--in-process", *options]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_scores_that_nothing_was_compared_with_are_not_shown() -> None:
    found = _run("check", "BlindScores", "--case", CASE)
    assert found.exit_code == NOT_SHOWN, found.output
    assert "not shown: scores" in found.output


def test_honest_sampled_labels_are_shown() -> None:
    found = _run("check", "HonestSampled", "--case", CASE)
    assert found.exit_code == 0, found.output
    assert "not shown" not in found.output


def test_a_selection_is_silent_on_the_stages_that_it_leaves_out() -> None:
    found = _run("check", "BlindScores", "--case", CASE, "--stage", "eigenbasis")
    assert found.exit_code == 0, found.output
    assert "not shown" not in found.output


def test_a_wrong_lambda_of_sampled_labels_is_not_right() -> None:
    found = _run("check", "OnesForLambda", "--case", CASE, "--stage", "eigenvalues")
    assert found.exit_code == 1, found.output


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("BlindScores", "factors, scores"),
        ("OnesForLambda", "factors, eigenvalues"),
    ],
)
def test_smoke_says_what_it_did_not_compare(name: str, stages: str) -> None:
    found = _run("smoke", name)
    assert "is written right" not in found.output
    assert f"Not shown: {stages}" in found.output
    assert found.exit_code in (1, NOT_SHOWN), found.output


def test_smoke_names_the_case_and_the_checks_that_compared() -> None:
    found = _run("smoke", "Honest")
    assert found.exit_code == 0, found.output
    assert "right on mlp/" in found.output
    assert "gradients-equal" in found.output


@pytest.mark.parametrize("fisher", ["exact", "sampled"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_no_check_that_shows_a_stage_passes_zeros(stage: str, fisher: str) -> None:
    declaration = Declaration("nought", conventions={"fisher": fisher})
    fields = {"declaration": declaration, stage: getattr(Nought, stage)}
    trial = Trial(InProcess(type("NoughtThere", (Reference,), fields)()), all_cases()[CASE])
    showing = [(c, mode) for c in CHECKS if c.stage == stage and c.shows for mode in c.modes]
    verdicts = {outcome.verdict for c, m in showing if (outcome := outcome_of(trial, c, m))}
    assert verdicts
    assert Verdict.PASS not in verdicts
