"""Report: every outcome of a run, what they say of each stage, and a footer whose counts add up."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["DRAWN", "DRAWS", "NOT_SHOWN", "QUICK_DRAWS", "Footer", "Report", "Selection", "Status"]

# "all": every case and check; "quick": the quick cases; "part": what the command line picked.
Selection = Literal["all", "quick", "part"]
DRAWN = "drawn"  # what stands for the id of drawn cases, all together
DRAWS, QUICK_DRAWS = 20, 5  # how many they are
NOT_SHOWN = 3  # exit code; 1 is "wrong", and 2 a wrong command line
BAD = (Verdict.FAIL, Verdict.ERROR, Verdict.STALE)
COMPARED = (*BAD, Verdict.PASS, Verdict.DEVIATES)


class Status(StrEnum):
    """The status of a stage after a run. The value is its name everywhere."""

    CONFORMS = "conforms"
    FAILS = "fails"
    UNSHOWN = "not shown"
    UNDECIDED = "undecided"
    PASSES = "passes"
    UNASKED = "not asked"
    ABSENT = "not claimed"


STATUS_MEANING = {
    Status.CONFORMS: "no fail, error or stale, and a pass in every required family",
    Status.FAILS: "at least one fail, error or stale",
    Status.UNSHOWN: "claimed, and nothing that was asked compared it with anything: it may be wrong",
    Status.UNDECIDED: "nothing wrong was seen, but a required family has no pass",
    Status.PASSES: "nothing wrong in the part that was run; `refimpl check` without a selection decides",
    Status.UNASKED: "no question of the part that was run is about it, or none applies",
    Status.ABSENT: "the implementation does not have this stage",
}


@dataclass(frozen=True)
class Footer:
    """The counts that make a report whole.

    Args:
        planned: Number of questions: cases x checks x modes, and the drawn searches.
        absent: Number of them about stages that the implementation does not have.
        inapplicable: Number of those whose check does not apply to the case or the conventions.
        counts: Number of the others by verdict.
        stages: Status by stage.
    """

    planned: int
    absent: int
    inapplicable: int
    counts: Mapping[str, int]
    stages: Mapping[str, str]

    @property
    def adds_up(self) -> bool:
        """Whether every planned question is accounted for."""
        return self.planned == self.absent + self.inapplicable + sum(self.counts.values())


@dataclass(frozen=True)
class Report:
    """The outcomes of a run, with all that is needed to read them.

    Args:
        subject: The implementation as the command line names it.
        declaration: Declaration of the implementation.
        stages: Names of the stages that it has.
        outcomes: In the order of cases, stages and checks.
        selection: Which part of all cases and checks was run.
        planned: See `Footer`.
        absent: See `Footer`.
        inapplicable: See `Footer`.
        provenance: Versions, seconds and date.
        notices: Sentences on deviations that have expired or are about nothing.
        asked: Stages that it has and that a check of the selection can show to be right; None, in
            reports written before there was this field: those with an outcome.
    """

    subject: str
    declaration: Declaration
    stages: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    selection: Selection
    planned: int
    absent: int
    inapplicable: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    asked: tuple[str, ...] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes by verdict, every verdict named."""
        tally = Counter(str(o.verdict) for o in self.outcomes)
        return {str(v): tally[str(v)] for v in Verdict}

    @property
    def footer(self) -> Footer:
        """The footer: counts by verdict, and the status of every stage."""
        stages = {stage: str(self.status(stage)) for stage in STAGES}
        return Footer(self.planned, self.absent, self.inapplicable, self.counts, stages)

    @property
    def bad(self) -> tuple[Outcome, ...]:
        """Fails, errors and stales, in this order."""
        return tuple(o for verdict in BAD for o in self.outcomes if o.verdict is verdict)

    def of(self, stage: str) -> tuple[Outcome, ...]:
        """The outcomes of a stage."""
        return tuple(o for o in self.outcomes if o.stage == stage)

    def status(self, stage: str) -> Status:
        """The status of a stage: a pass is required in every family of checks that were put to it.

        A stage that nothing was compared with is not shown, whatever properties of it pass; but a
        selection of properties alone did not ask whether it is right.
        """
        if stage not in self.stages:
            return Status.ABSENT
        outcomes = self.of(stage)
        if any(o.verdict in BAD for o in outcomes):
            return Status.FAILS
        whole = self.selection == "all" or (self.selection == "quick" and self.asked is not None)
        if not outcomes and not whole:
            return Status.UNASKED
        if (whole or self.asked is None or stage in self.asked) and not any(
            o.shows and o.verdict in COMPARED for o in outcomes
        ):
            return Status.UNSHOWN
        passed = {o.family for o in outcomes if o.verdict is Verdict.PASS}
        if not outcomes or passed != {o.family for o in outcomes}:
            return Status.UNDECIDED
        return Status.CONFORMS if self.selection == "all" else Status.PASSES

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Stages that are claimed and were compared with nothing."""
        return tuple(stage for stage in STAGES if self.status(stage) is Status.UNSHOWN)

    def exit_code(self, *, strict: bool) -> int:
        """0: nothing is wrong; 1: a fail or an error, and under strict also a stale or a notice.

        `NOT_SHOWN`: nothing is wrong, but a stage that was asked about was compared with nothing.

        Args:
            strict: Whether stale and expired deviations count.
        """
        wrong = {Verdict.FAIL, Verdict.ERROR} | ({Verdict.STALE} if strict else set())
        if any(o.verdict in wrong for o in self.outcomes) or (strict and self.notices):
            return 1
        return NOT_SHOWN if self.not_shown else 0

    def reproduction(self, outcome: Outcome) -> str:
        """The command that reproduces one outcome."""
        return f"refimpl check {self.subject} --case {outcome.case} --check {outcome.check}"
