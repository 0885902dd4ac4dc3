"""A check is one entry: what becomes of one that a test adds."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from refimpl.cli.main import app
from refimpl.oracle import checks
from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS, Check, every_check
from refimpl.oracle.checks.check import Family
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.selftest.measured import measured_margins
from refimpl.oracle.selftest.pages import checks_page
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import place
from refimpl.oracle.subject.in_process import InProcess

FINITE = Check(
    slug="gradients-finite",
    family="stages",
    stage="gradients",
    statement="No gradient is infinite.",
    equation="|grad l_n| < inf",
    source="arithmetic",
    scale="none",
    measure=lambda trial, mode: max(
        float(np.isinf(g).any()) * 100 for g in trial.gradients().values()
    ),
)


@pytest.fixture
def registered() -> Iterator[None]:
    CHECKS.append(FINITE)
    yield
    CHECKS.remove(FINITE)


@pytest.mark.usefixtures("registered")
def test_it_is_run() -> None:
    name = next(iter(quick()))
    asked = [check for check in CHECKS if check.slug == FINITE.slug]
    report = run_checks(InProcess(Reference()), {name: quick()[name]}, asked)
    assert [(o.check, o.verdict) for o in report.outcomes] == [(FINITE.slug, Verdict.PASS)]


@pytest.mark.usefixtures("registered")
def test_it_is_explained_and_in_the_docs() -> None:
    explained = CliRunner().invoke(app, ["explain", FINITE.slug])
    assert explained.exit_code == 0, explained.output
    assert FINITE.statement in explained.output
    assert f"### {FINITE.slug}\n\n{FINITE.statement}" in checks_page(measured_margins())


@pytest.fixture
def another_place(tmp_path: Path) -> Iterator[Path]:
    checks.__path__.append(str(tmp_path))
    yield tmp_path
    checks.__path__.remove(str(tmp_path))


def test_a_file_is_found_by_its_place_and_the_order_is_that_of_the_report(
    another_place: Path,
) -> None:
    (another_place / "added_by_a_test.py").write_text(
        "from dataclasses import replace\n"
        "from refimpl.oracle.checks.gradients import CHECKS as OTHERS\n\n"
        "CHECKS = (replace(OTHERS[0], slug='gradients-new'),)\n"
    )
    every = every_check()
    assert [c for c in every if c.slug != "gradients-new"] == CHECKS
    families = [get_args(Family).index(check.family) for check in every]
    stages = [place(check.stage) for check in every if check.family == "stages"]
    assert families == sorted(families)
    assert stages == sorted(stages)
    assert "gradients-new" in [check.slug for check in every if check.stage == "gradients"]
