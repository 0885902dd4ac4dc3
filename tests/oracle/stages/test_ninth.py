"""A ninth stage is one object: the adapter, the wire, the trial, a check and the report know it then."""

from pathlib import Path

import numpy as np
import pytest

from refimpl.oracle import Declaration
from refimpl.oracle.cases import quick
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.checks.check import worst
from refimpl.oracle.results.lines import read, write_lines
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.results.report import Status
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.run.smoke import smoke_test
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import STAGES, Stage
from refimpl.oracle.stages.answer import OneArray
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.subject.wire import (
    pack_answer,
    pack_arguments,
    unpack_answer,
    unpack_arguments,
)

CASES = dict(list(quick().items())[:2])
CASE = next(iter(CASES.values()))


class InverseHessianProducts(Stage):
    """[k, P] -> [k, P], for code that cannot take parts."""

    name = "ihvp"
    plural = "inverse-Hessian-vector products"
    signature = ("case", "vectors", "damping")
    form = OneArray(lambda sizes: (sizes.vectors, sizes.parameters))
    inherits = ("ihvp",)

    def right(self, truth, arguments):
        return truth.solve(arguments["vectors"])


IHVP = InverseHessianProducts()


def _equal(trial, mode):
    arguments = IHVP.arguments(trial, mode)
    right = IHVP.arrays(IHVP.right(trial.truth, arguments))
    answer, scale = IHVP.arrays(trial.ask("ihvp", mode)), IHVP.scale(trial.truth, arguments)
    return max(worst(answer[n] - right[n], scale[n], trial.unit) for n in right)


CHECK = Check(
    "ihvp-equal",
    "stages",
    "ihvp",
    "It is right.",
    "x = (H + lambda)^-1 v",
    "",
    "",
    _equal,
    shows=True,
)


class Honest(Reference):
    declaration = Declaration("ninth")

    def ihvp(self, case, vectors, damping):
        assert damping == case.damping
        return self._truth(case).solve(vectors)


class Doubled(Honest):
    def ihvp(self, case, vectors, damping):
        return 2 * super().ihvp(case, vectors, damping)


@pytest.fixture(autouse=True)
def _ninth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "ihvp", IHVP)


@pytest.mark.parametrize(("adapter", "status"), [(Honest, Status.PASSES), (Doubled, Status.FAILS)])
def test_an_adapter_is_judged_and_reported(adapter, status, tmp_path: Path) -> None:
    report = run_checks(InProcess(adapter()), CASES, (CHECK,), diagnose=False)
    assert report.stages == (*STAGES,)
    assert report.status("ihvp") is status
    assert report.footer.adds_up
    write_lines(report, tmp_path / "report.jsonl")
    assert read(tmp_path / "report.jsonl").status("ihvp") is status


def test_an_answer_is_refused_where_its_shape_is_wrong() -> None:
    class Short(Honest):
        def ihvp(self, case, vectors, damping):
            return super().ihvp(case, vectors, damping)[:1]

    (outcome,) = run_checks(InProcess(Short()), {CASE.id: CASE}, (CHECK,)).outcomes
    assert outcome.verdict is Verdict.ERROR
    assert "ihvp must have shape" in outcome.detail


def test_smoke_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {s.stage: s for s in smoke_test(InProcess(Honest()), CASE)}
    assert said["ihvp"].unshown  # no check is about it
    monkeypatch.setattr("refimpl.oracle.run.smoke.CHECKS", [*CHECKS, CHECK])
    said = {s.stage: s for s in smoke_test(InProcess(Honest()), CASE)}
    assert said["ihvp"].ok


def test_its_question_and_its_answer_travel() -> None:
    trial = Trial(InProcess(Honest()), CASE)
    arguments, answer = IHVP.arguments(trial), trial.ask("ihvp")
    again = unpack_arguments("ihvp", CASE, *pack_arguments(arguments))
    assert np.array_equal(again["vectors"], trial.vectors)
    assert again["damping"] == CASE.damping
    assert np.array_equal(unpack_answer("ihvp", pack_answer("ihvp", answer)), answer)
