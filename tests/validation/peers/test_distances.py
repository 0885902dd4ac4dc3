"""Distances: numbers to be read, zero for the reference, telling for one that is off."""

import numpy as np
import pytest

from refimpl.oracle.cases import all_cases
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Declaration, Unsupported
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial
from validation.peers.distances import relative_errors

CASE = next(iter(all_cases().values()))


def of(adapter):
    return relative_errors(Trial(InProcess(adapter), CASE))


def test_the_reference_is_at_no_distance_from_itself():
    errors = of(Reference())
    assert [*errors, "response"] == [*STAGES]
    assert all(off < 1e-12 for off in errors.values())


class Twice(Reference):
    """Scores twice too large, gradients not claimed, Lambda NaN."""

    def scores(self, case, seed):
        return 2 * super().scores(case, seed)

    def gradients(self, case):
        raise Unsupported("not today")

    def eigenvalues(self, case, basis, seed):
        return {
            n: np.full_like(m, np.nan) for n, m in super().eigenvalues(case, basis, seed).items()
        }


def test_what_is_off_says_by_how_much_and_what_gave_no_number_says_why():
    errors = of(Twice())
    assert errors["scores"] == pytest.approx(1.0)
    assert errors["gradients"] == "Unsupported: not today"
    assert errors["eigenvalues"].startswith("BadAnswer: ")


class Sampled(Reference):
    declaration = Declaration(name="sampled", conventions={"fisher": "sampled"})


def test_drawn_labels_have_no_distance():
    assert of(Sampled()) == {}
