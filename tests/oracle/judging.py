"""One check of one adapter on one case, as the tests ask for it."""

from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.subject.adapter import Adapter
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial


def check_of(slug: str) -> Check:
    (found,) = (check for check in CHECKS if check.slug == slug)
    return found


def verdict(adapter: Adapter, case: Case, slug: str, mode: str | None = None) -> Verdict:
    """What is said in a mode; None: in the check's first."""
    check = check_of(slug)
    return judge_check(Trial(InProcess(adapter), case), check, mode or check.modes[0]).verdict
