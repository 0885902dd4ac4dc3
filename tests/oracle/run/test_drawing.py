"""Drawn cases: the same ones every time, and a small one for an answer that is wrong."""

import numpy as np

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.drawing import differential, drawn_cases
from refimpl.oracle.run.outcomes import Questions
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.in_process import InProcess

ASKED: Questions = tuple((c, "isolated") for c in CHECKS if c.slug == "gradients-equal")


class NoBias(Reference):
    """Drops the gradient of the bias wherever there is one."""

    def gradients(self, case):
        found = {name: g.copy() for name, g in super().gradients(case).items()}
        for block in case.blocks:
            if block.bias:
                found[block.name][..., -1] = 0
        return found


def test_the_same_cases_every_time() -> None:
    first, second = drawn_cases(12), drawn_cases(12)
    assert len({c.id for c in first}) == len(first) >= 10
    assert len({c.num_parameters for c in first}) > 3
    for one, other in zip(first, second, strict=True):
        assert one.to_json() == other.to_json()
        assert np.array_equal(one.inputs, other.inputs)


def test_a_fault_is_found_and_its_case_made_small() -> None:
    (found,) = differential(InProcess(NoBias()), 12, ASKED)
    assert (found.verdict, found.family, found.case) == (Verdict.FAIL, "differential", "drawn")
    size = int(found.detail.partition("smallest case found: ")[2].split()[0])
    assert size <= min(c.num_examples for c in drawn_cases(12))
    (again,) = differential(InProcess(NoBias()), 12, ASKED)
    assert again.detail == found.detail


def test_what_is_right_passes_on_all() -> None:
    (found,) = differential(InProcess(Reference()), 12, ASKED)
    assert found.verdict is Verdict.PASS
