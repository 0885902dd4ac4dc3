"""refimpl check on the command line: what is refused, and what is drawn alone."""

import pytest
from typer.testing import CliRunner, Result

from refimpl.cli.main import app

REFERENCE = "refimpl.oracle.selftest.reference:Reference"


def checked(*options: str) -> Result:
    return CliRunner().invoke(app, ["check", REFERENCE, *options], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--case", "drawn*", "--draws", "0"), "nothing to ask"),
        (("--case", "no-such/*"), "no case matches 'no-such/*'"),
        (("--stage", "no-such"), "no check of a stage 'no-such'"),
        (("--check", "no-such-*"), "no-such-*"),
    ],
)
def test_to_ask_nothing_is_refused(options: tuple[str, ...], said: str) -> None:
    result = checked(*options)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_drawn_cases_can_be_asked_alone(jobs: str) -> None:
    # One task: with --jobs 2 this process does it, and no other is started.
    result = checked("--case", "drawn*", "--draws", "3", "--stage", "gradients", "--jobs", jobs)
    assert result.exit_code == 0
    assert "2 questions: 2 pass" in result.output
