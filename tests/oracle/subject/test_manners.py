"""Whatever an implementation does, its checks get the right verdict and the others still run."""

import sys
from functools import cache
from pathlib import Path

import pytest
from oracle import fakes

from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.results.report import Report
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.external import Program
from refimpl.oracle.subject.in_process import InProcess

FAKES = Path(__file__).parents[1] / "fakes.py"
ASKED = tuple(c for c in CHECKS if c.slug in ("gradients-equal", "factor-a-equal"))


def two() -> dict[str, Case]:
    return dict(list(all_cases().items())[:2])


def session(name: str, timeout: float = 60.0) -> Program | InProcess:
    """In a process of its own, if its manners call for one; that start takes seconds."""
    if name not in ("Honest", "Noisy", "Raises", "Hang", "Ends", "Segfault"):
        return InProcess(getattr(fakes, name)())
    command = (sys.executable, "-m", "refimpl.oracle.subject.serve", f"{FAKES}:{name}")
    return Program(command, name, timeout)


@cache
def judged(name: str, timeout: float = 60.0) -> Report:
    asked = session(name, timeout)
    report = run_checks(asked, two(), ASKED, diagnose=False)
    asked.close()
    assert report.footer.adds_up
    # The stage that the fake leaves alone is judged as if nothing had happened.
    assert {o.verdict for o in report.of("factors")} == {Verdict.PASS}
    return report


@pytest.mark.parametrize(
    ("name", "verdict", "said"),
    [
        ("Honest", Verdict.PASS, ""),
        ("Noisy", Verdict.PASS, ""),
        ("Spoils", Verdict.PASS, ""),
        ("HalfDeclared", Verdict.PASS, ""),
        ("Zero", Verdict.FAIL, "off by"),
        ("Half", Verdict.FAIL, "off by"),
        ("NotANumber", Verdict.ERROR, "1 of "),
        ("Raises", Verdict.ERROR, "gradients raised RuntimeError: no kernel for this"),
        ("Exits", Verdict.ERROR, "gradients raised SystemExit"),
        ("Panics", Verdict.ERROR, "gradients raised PanicException: index out of bounds"),
        ("Complex", Verdict.ERROR, "entries have an imaginary part"),
        ("Breaks", Verdict.ERROR, "gradients cannot be read (OSError: the file is gone)"),
        ("OddLayers", Verdict.ERROR, "unknown: [0, 'fc']"),
        ("Ends", Verdict.ERROR, "ended the program (exit code 7); last on stderr: out of memory"),
        ("Segfault", Verdict.ERROR, "ended the program (SIGSEGV)"),
        ("WrongShape", Verdict.ERROR, "must have shape"),
        ("WrongLayers", Verdict.ERROR, "must cover the layers"),
        ("NotADict", Verdict.ERROR, "must return a dict by layer, got list"),
        ("Refuses", Verdict.UNSUPPORTED, "no per-example gradients"),
    ],
)
def test_manners_get_their_verdict(name: str, verdict: Verdict, said: str) -> None:
    found = judged(name).of("gradients")
    assert [o.verdict for o in found] == [verdict, verdict]
    assert all(said in o.detail for o in found), found


def test_one_that_hangs_is_killed_and_not_asked_again() -> None:
    first, second = judged("Hang", timeout=4.0).of("gradients")
    assert first.verdict is second.verdict is Verdict.ERROR
    assert "no answer within 4 s and was killed" in first.detail
    assert second.detail.startswith("not asked again: earlier, gradients gave no answer")


def test_a_process_changes_no_digit() -> None:
    def ratios(report: Report) -> list[tuple[str, float | None]]:
        return [(o.id, o.ratio) for o in report.outcomes]

    here = run_checks(InProcess(fakes.Honest()), two(), ASKED, diagnose=False)
    assert ratios(here) == ratios(judged("Honest"))


@pytest.mark.parametrize("curvature", ["ekfac", "gauss_newton"])
def test_damping_split_between_factors_is_declared_of_k_fac_alone(curvature) -> None:
    factored = {"damping": "factored"}
    Declaration("k", conventions=factored, curvature="kfac")
    with pytest.raises(ValueError, match="splits lambda between K-FAC's factors"):
        Declaration("e", conventions=factored, curvature=curvature)
