"""Run one check on one trial and give the verdict."""

import math

from refimpl.oracle.checks.check import Check
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.truth import Undecided

__all__ = ["judge_check"]


def judge_check(trial: Trial, check: Check, mode: Mode) -> Outcome:
    """The outcome of a check; every error of the implementation becomes a verdict.

    Args:
        trial: The implementation on a case.
        check: Measures the error and has the threshold.
        mode: One of `check.modes`.
    """
    before = trial.seconds
    ratio: float | None = None
    try:
        ratio = float(check.measure(trial, mode))
        # Written so that NaN fails.
        verdict = Verdict.PASS if ratio < check.threshold else Verdict.FAIL
        detail = "" if verdict is Verdict.PASS else _sentence(check, ratio)
    except Unsupported as error:
        verdict, detail = Verdict.UNSUPPORTED, str(error)
    except Undecided as error:
        verdict, detail = Verdict.INDETERMINATE, str(error)
    except (BadAnswer, Failed) as error:
        verdict, detail = Verdict.ERROR, str(error)
    return Outcome(
        trial.case.id,
        check.stage,
        check.slug,
        check.family,
        mode,
        verdict,
        ratio,
        check.threshold,
        detail,
        seconds=trial.seconds - before,
        shows=check.shows,
    )


def _sentence(check: Check, ratio: float) -> str:
    size = f"{ratio:.1e}" if math.isfinite(ratio) else str(ratio)
    # A scale of rounding is exceeded by some factor in honest answers; a bound, hardly ever.
    scale = "its bound" if check.threshold == 1 else "its rounding scale"
    return f"off by {size} times {scale} (at most {check.threshold:g}): {check.statement}"
