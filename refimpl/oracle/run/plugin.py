"""Checks as pytest items, for pytest_refimpl: `case::stage::check::mode`, judged by the same runner."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from refimpl.oracle.cases import all_cases, quick
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.deviations import BadDeviations, find, read
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import DRAWN, DRAWS, QUICK_DRAWS
from refimpl.oracle.run.outcomes import Questions, explanation, outcome_of
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.external import NotStarted, Program
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.session import Session
from refimpl.oracle.subject.start import start_session
from refimpl.oracle.subject.trial import Trial

__all__ = ["Items"]


class Wrong(Exception):
    """Raised by an item whose verdict is fail."""


class NoAnswer(Exception):
    """Raised by an item whose verdict is error."""


class Items:
    """Add the items to what pytest collects.

    Args:
        config: pytest's configuration, with the `--refimpl` options.
    """

    def __init__(self, config: pytest.Config) -> None:
        option: Any = config.getoption
        self.quick = bool(option("refimpl_quick"))
        try:
            path = option("refimpl_deviations")
            self.deviations = read(Path(path)) if path else ()
            self.session: Program | InProcess = start_session(
                option("refimpl"),
                option("refimpl_exec"),
                option("refimpl_timeout"),
                option("refimpl_in_process"),
            )
            self.stages = self.session.described.stages
        except (BadDeviations, NotStarted, ValueError) as error:
            raise pytest.UsageError(f"--refimpl: {error}") from None

    @pytest.hookimpl(tryfirst=True)  # so that -k and -m see them
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the items after those of the files."""
        items.extend(self._items(session))

    def pytest_unconfigure(self) -> None:
        """Stop the implementation's process."""
        self.session.close()

    def _items(self, session: pytest.Session) -> Iterator[pytest.Item]:
        questions: Questions = tuple(
            (c, m) for c in CHECKS if c.stage in self.stages for m in c.modes
        )
        for case in (quick if self.quick else all_cases)().values():
            shared = _OneCase(self.session, case)
            yield from (self._item(session, case.id, shared, c, m) for c, m in questions)
        shared_by_drawn: Questions = tuple((c, m) for c, m in questions if c.family == "stages")
        drawn = _Drawn(self.session, QUICK_DRAWS if self.quick else DRAWS, shared_by_drawn)
        yield from (self._item(session, DRAWN, drawn, c, m) for c, m in shared_by_drawn)

    def _item(
        self,
        session: pytest.Session,
        case: str,
        shared: "_OneCase | _Drawn",
        check: Check,
        mode: Mode,
    ) -> pytest.Item:
        name = f"{case}::{check.stage}::{check.slug}::{mode}"
        item: CheckItem = CheckItem.from_parent(session, name=name, nodeid=name)
        item.shared, item.check, item.mode = shared, check, mode
        deviation = find(name, self.deviations)
        if deviation is not None:
            kind = Wrong if deviation.verdict == "fail" else NoAnswer
            reason = f"{deviation.reason} ({deviation.link})"
            item.add_marker(pytest.mark.xfail(reason=reason, raises=kind, strict=True))
        return item


class _OneCase:
    """The trial that the items of a case share; made when the first of them runs."""

    latest: "_OneCase | None" = None

    def __init__(self, session: Session, case: Case) -> None:
        self.session, self.case = session, case
        self.trial: Trial | None = None

    def outcome(self, check: Check, mode: Mode) -> Outcome | None:
        if _OneCase.latest is not None and _OneCase.latest is not self:
            _OneCase.latest.trial = None  # its answers and truths are no longer needed
        _OneCase.latest = self
        if self.trial is None:
            self.trial = Trial(self.session, self.case)
        return outcome_of(self.trial, check, mode)

    def explanation(self, check: Check, mode: Mode) -> tuple[str, ...]:
        assert self.trial is not None
        return explanation(self.trial, check, mode)


class _Drawn:
    """The search that the items of drawn cases share; made when the first of them runs."""

    def __init__(self, session: Session, draws: int, questions: Questions) -> None:
        self.session, self.draws, self.questions = session, draws, questions

    @cached_property
    def outcomes(self) -> dict[tuple[str, str], Outcome]:
        from refimpl.oracle.run.drawing import differential

        outcomes = differential(self.session, self.draws, self.questions)
        return {(o.check, o.mode): o for o in outcomes}

    def outcome(self, check: Check, mode: Mode) -> Outcome | None:
        return self.outcomes.get((check.slug, mode))

    def explanation(self, check: Check, mode: Mode) -> tuple[str, ...]:
        return ()


class CheckItem(pytest.Item):
    """One check on one case, or on all drawn ones."""

    shared: _OneCase | _Drawn
    check: Check
    mode: Mode

    def runtest(self) -> None:
        """Ask, and record the ratio as a property."""
        outcome = self.shared.outcome(self.check, self.mode)
        if outcome is None:
            pytest.skip("does not apply to this case or these conventions")
        self.user_properties += [("verdict", str(outcome.verdict)), ("ratio", outcome.ratio)]
        if outcome.verdict is Verdict.FAIL:
            raise Wrong(self._message(outcome, self.shared.explanation(self.check, self.mode)))
        if outcome.verdict is Verdict.ERROR:
            raise NoAnswer(self._message(outcome, ()))
        if outcome.verdict is not Verdict.PASS:
            pytest.skip(f"{outcome.verdict}: {outcome.detail}")

    def _message(self, outcome: Outcome, diagnosis: tuple[str, ...]) -> str:
        subject = getattr(self.shared.session, "subject", "")
        again = f"refimpl check {subject} --case {outcome.case} --check {outcome.check}"
        return "\n".join([f"{outcome.verdict}: {outcome.detail}", *diagnosis, again])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what is wrong, without a traceback through the oracle."""
        if isinstance(excinfo.value, (Wrong, NoAnswer)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the item in pytest's output."""
        return self.path, None, self.name
