"""Differential testing on cases that hypothesis draws; a wrong answer comes with a small case."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import HypothesisException

from refimpl.oracle.case import Case
from refimpl.oracle.cases import drawn
from refimpl.oracle.verdicts import Outcome, Verdict

__all__ = ["DRAWN", "drawn_cases", "smallest", "worst"]

DRAWN = "drawn"  # the id under which outcomes on drawn cases go
SHRINKS = 150  # cases that are tried to find a smaller one

_FIXED = settings(
    database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False,
    phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
_TRIED = settings(_FIXED, max_examples=SHRINKS)


def drawn_cases(count: int) -> list[Case]:
    """The same cases at every call.

    Args:
        count: How many.
    """
    found: list[Case] = []

    @settings(_FIXED, max_examples=count, derandomize=True, phases=(Phase.generate,))
    @given(drawn())
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found[:count]


def worst(outcomes: Sequence[Outcome]) -> Outcome | None:
    """One outcome for all drawn cases: the worst; None where the check applies to none.

    Args:
        outcomes: Those of one check in one mode.
    """
    order = (Verdict.ERROR, Verdict.FAIL, Verdict.PASS, Verdict.INDETERMINATE, Verdict.UNSUPPORTED)
    for verdict in order:
        own = [o for o in outcomes if o.verdict is verdict]
        if own:
            chosen = max(own, key=lambda o: -1.0 if o.ratio is None else o.ratio)
            seconds = sum(o.seconds for o in outcomes)
            return replace(chosen, case=DRAWN, family="differential", seconds=seconds)
    return None


def smallest(case: Case, wrong: Callable[[Case], bool]) -> Case:
    """A small case on which an answer is wrong.

    Args:
        case: One on which it is.
        wrong: Whether it is on another.

    Returns:
        The smallest that SHRINKS attempts found; by N, then by P.
    """
    seen = [case]
    left = SHRINKS

    def still_wrong(other: Case) -> bool:
        nonlocal left
        left -= 1
        if left < 0 or not wrong(other):
            return False
        seen.append(other)
        return True

    # Once the attempts are spent, hypothesis finds its own example right and calls that flaky: what
    # was seen until then counts.
    with suppress(HypothesisException):
        find(drawn(), still_wrong, settings=_TRIED, random=random.Random(0))
    return min(seen, key=lambda c: (c.num_examples, c.num_parameters))


def described(case: Case) -> str:
    """A drawn case in a sentence.

    Args:
        case: The case.
    """
    layers = ", ".join(f"{b.name} {b.outputs}x{b.inputs}" for b in case.blocks)
    names = [str(layer["op"]) for layer in case.layers]
    return (
        f"N = {case.num_examples}, inputs {case.inputs.shape[1:]}, {' > '.join(names)} ({layers}), "
        f"{case.loss.kind}, damping {case.damping:g}"
    )
