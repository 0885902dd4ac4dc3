"""Verdicts, and the outcome of one check on one case."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Outcome", "Verdict"]


class Verdict(StrEnum):
    """The verdict of a check. The value is its name everywhere; `MEANING` says what it stands for."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    UNSUPPORTED = "unsupported"
    DEVIATES = "deviates"
    STALE = "stale"
    INDETERMINATE = "indeterminate"


MEANING = {
    Verdict.PASS: "the ratio of error to tolerance is below the threshold",
    Verdict.FAIL: "it is not: the answer is wrong; see the diagnosis",
    Verdict.ERROR: "no answer to judge: a crash, a time-out, NaN, or a wrong shape or layer",
    Verdict.UNSUPPORTED: "the implementation does not claim this",
    Verdict.DEVIATES: "fails, as deviations.toml declares",
    Verdict.STALE: "deviations.toml declares that it fails, but it passes",
    Verdict.INDETERMINATE: "this case cannot decide it, or there was nothing to compare",
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check on one case.

    Args:
        case: Id of the case.
        stage: Name of the stage that was judged.
        check: Slug of the check.
        family: Family of the check.
        mode: "isolated": fed the reference's answers to earlier stages; "chained": fed its own.
        verdict: Verdict; see `MEANING`.
        ratio: Error over (u x scale); None where there is none.
        threshold: Bound that the ratio must stay below.
        detail: What went wrong where, in a sentence; empty for a pass.
        diagnosis: Explanations that reproduce a wrong answer to rounding, likeliest first.
        seconds: Time that the implementation took.
        shows: Whether a pass shows the answer to be right, and not a property of it only.
    """

    case: str
    stage: str
    check: str
    family: str
    mode: str
    verdict: Verdict
    ratio: float | None = None
    threshold: float = 30.0
    detail: str = ""
    diagnosis: tuple[str, ...] = field(default_factory=tuple)
    seconds: float = 0.0
    shows: bool = False

    @property
    def id(self) -> str:
        """case::stage::check::mode."""
        return f"{self.case}::{self.stage}::{self.check}::{self.mode}"

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON; a ratio that is no finite number becomes text."""
        plain = asdict(self)
        plain["verdict"] = str(self.verdict)
        plain["diagnosis"] = list(self.diagnosis)
        if self.ratio is not None and not abs(self.ratio) < float("inf"):
            plain["ratio"] = str(self.ratio)
        return plain
