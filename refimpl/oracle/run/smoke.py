"""Is the adapter itself written right? One small case, every stage, and a sentence on each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.checks.judge import judge_check
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.conventions import choices
from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.answer import Arrays
from refimpl.oracle.stages.near import REPEATED, is_near
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed, Session
from refimpl.oracle.subject.trial import Trial

__all__ = ["Remark", "hint", "smoke_test"]

FAMILIES = ("stages", "outcomes")  # statistical checks take hundreds of calls


@dataclass(frozen=True)
class Remark:
    """The smoke test's remark on a stage.

    Args:
        stage: The stage.
        ok: Whether the adapter is right there as far as it was looked at; None: not looked at.
        text: A sentence.
        unshown: Whether it is claimed and was compared with nothing.
    """

    stage: str
    ok: bool | None
    text: str
    unshown: bool = False


def smoke_test(session: Session, case: Case) -> Iterator[Remark]:
    """Call every stage twice on one case, and say what the adapter's author should do.

    Args:
        session: Session with the implementation.
        case: A small case.
    """
    trial = Trial(session, case)
    for stage in STAGES:
        if not trial.has(stage):
            yield Remark(stage, None, "not claimed: the adapter does not override it")
            continue
        try:
            first, second = trial.ask(stage), Trial(session, case).ask(stage)
        except Unsupported as error:
            yield Remark(stage, None, f"not shown: refused for {case.id}: {error}", True)
        except (Failed, BadAnswer) as error:
            advice = hint(str(error))
            yield Remark(stage, False, f"{error}" + (f"\n{advice}" if advice else ""))
        else:
            if _same(STAGES[stage].arrays(second), STAGES[stage].arrays(first), trial.unit):
                yield _numbers(trial, stage)
            else:
                yield Remark(
                    stage,
                    False,
                    "two calls gave different answers: draw labels from the seed that is given, and "
                    "keep no state between calls",
                )


def _numbers(trial: Trial, stage: str) -> Remark:
    checks = [c for c in CHECKS if c.stage == stage and c.family in FAMILIES and c.applies(trial)]
    outcomes = [judge_check(trial, check, check.modes[0]) for check in checks]
    wrong = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    if not wrong:
        shown = [o.check for o in outcomes if o.shows and o.verdict is Verdict.PASS]
        if not shown:
            return Remark(
                stage, None, f"not shown on {trial.case.id}: {_why(trial, stage, outcomes)}", True
            )
        more = sum(o.verdict is Verdict.PASS for o in outcomes) - len(shown)
        others = f"; {more} of its properties hold" if more else ""
        return Remark(stage, True, f"right on {trial.case.id}: {', '.join(shown)}{others}")
    return Remark(
        stage,
        False,
        f"is called and read without trouble, but the numbers are wrong: {wrong[0].detail}\n"
        f"`refimpl check --case {trial.case.id} --stage {stage}` looks for what is behind it. What "
        "docs/conventions.md lists as another convention is declared, not repaired.",
    )


def _why(trial: Trial, stage: str, outcomes: Sequence[Outcome]) -> str:
    """Why no check compared a stage with anything, and what to do."""
    undecided = [o.detail for o in outcomes if o.shows]
    if undecided and not trial.labels_known and STAGES[stage].draws_labels:
        return f"{undecided[0]}; draw the same labels in all stages at one seed, then it is decided"
    if undecided:
        return undecided[0]
    if trial.labels_known:
        return "no check that applies compares it with anything"
    if any(c.stage == stage and c.family == "statistical" and c.shows for c in CHECKS):
        return (
            "only statistical checks can show what sampled labels give; `refimpl check` asks them"
        )
    return (
        "of sampled labels it is compared with the parts that it is made of; claim the stages "
        "factors, eigenbasis and (for EK-FAC) eigenvalues too"
    )


def _same(again: Arrays, first: Arrays, unit: float) -> bool:
    return all(is_near(again[name], array, REPEATED * unit) for name, array in first.items())


def _declare(name: str) -> str:
    others = " or ".join(f"{name}={choice!r}" for choice in choices(name)[1:])
    return f"or declare the convention {others}."


def hint(error: str) -> str:
    """Advise on an answer that cannot be judged; empty where there is no advice.

    Args:
        error: Text of the `BadAnswer` or `Failed`.
    """
    if "cover the layers" in error:
        return (
            "Layers go by the names of case.blocks (the module's own; for groups of a convolution "
            "one each)."
        )
    shapes = re.search(r"must have shape \(([\d, ]*)\), got \(([\d, ]*)\)", error)
    if shapes:
        expected, actual = (
            tuple(int(n) for n in text.split(",") if n.strip()) for text in shapes.groups()
        )
        if len(expected) == len(actual) >= 2:
            if actual == (*expected[:-2], expected[-1], expected[-2]):
                return "It looks transposed: a layer's matrix is (outputs, inputs)."
            if actual[:-1] == expected[:-1] and actual[-1] == expected[-1] - 1:
                return f"The bias is missing: it is the last column; {_declare('bias')}"
            if expected[-1] == expected[-2] and actual[-2:] == (expected[-1] - 1, expected[-1] - 1):
                return (
                    "The bias is missing: the layer's inputs have a last coordinate 1 for it; "
                    f"{_declare('bias')}"
                )
        if len(actual) == len(expected) - 1:
            return "An axis is missing: gradients are per example, and vectors come as rows [k, P]."
        if len(actual) == len(expected) + 1:
            return "There is an axis too many."
    if "NaN" in error:
        return "Start with `--in-process` under a debugger, or with numpy.seterr(all='raise')."
    if "no array of numbers" in error:
        return "Return numpy arrays, or what numpy reads: __array__ or DLPack, on the CPU."
    if "takes" in error and "positional argument" in error:
        return "The stage's arguments are those of refimpl.oracle.Adapter's method of that name."
    return ""
