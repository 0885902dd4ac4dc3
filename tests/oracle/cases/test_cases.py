"""The cases: certified, distinct, small, and every flag with a note."""

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from refimpl.oracle.cases import QUICK, RECIPES, all_cases, drawn, quick
from refimpl.oracle.cases.cookbook import recorded
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.cases.spectrum import certified, required_gap, search
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Case
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Truth


def test_there_are_enough_of_them_and_they_are_small() -> None:
    assert len(all_cases()) >= 40
    assert all(case.num_parameters < 200 for case in all_cases().values())
    assert all(case.num_examples <= 12 for case in all_cases().values())
    assert list(quick()) == list(QUICK)
    assert all(case.flags for case in all_cases().values())


def test_every_case_has_its_own_id_and_recorded_spectrum() -> None:
    assert [case.id for case in all_cases().values()] == list(RECIPES)
    assert set(recorded()) == set(RECIPES)


@pytest.mark.parametrize("id", QUICK)
def test_recorded_gaps_are_those_of_the_case(id: str) -> None:
    gap = certified(all_cases()[id])
    assert gap >= required_gap(all_cases()[id])
    np.testing.assert_allclose(gap, recorded()[id]["gap"], rtol=1e-2)


def test_every_recorded_gap_is_wide_enough() -> None:
    for id, case in all_cases().items():
        gap = recorded()[id]["gap"]
        assert gap is None or gap >= required_gap(case), id


def test_an_accidental_degenerate_spectrum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refimpl.oracle.cases.spectrum.SEEDS", 2)

    def unflagged(d: Draw) -> Case:
        return RECIPES["degenerate/whitened"](d).but(flags=("NoBias",))

    with pytest.raises(ValueError, match="has no seed below 2 with a gap"):
        search("degenerate/whitened", unflagged)


@pytest.mark.parametrize("id", RECIPES)
def test_a_second_implementation_gives_the_same_gradients(id: str) -> None:
    case = all_cases()[id]
    truth, found = Truth(case), Pipeline().gradients(case)
    scale = scale_of(truth, lambda t: t.gradients)
    for name, g in truth.gradients.items():
        # by the layer's norm: see vectors/generate.py on saturated units
        limit = 30 * case.conventions.unit * (scale[name] + np.sqrt((scale[name] ** 2).mean()))
        assert (np.abs(np.asarray(found[name]) - g) <= limit).all()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn())
def test_drawn_cases_have_a_truth(case: Case) -> None:
    assert all(np.isfinite(g).all() for g in Truth(case).gradients.values())


def test_drawn_cases_shrink_to_small_structures() -> None:
    case = find(drawn(), lambda c: c.num_examples >= 2, settings=settings(database=None))
    assert case.num_examples == 2
    assert case.num_parameters == 1
