"""The list of faults: each edits what there is, says so, and changes nothing else."""

from typing import get_args

import pytest

from refimpl.oracle.cases import all_cases
from refimpl.oracle.faults import FAULTS, BugType, Fault, edited, faulty
from refimpl.oracle.pipeline import Pipeline


def test_slugs_are_unique_and_every_bug_type_is_there() -> None:
    """At least a hundred faults, over all thirteen bug types."""
    assert len({f.slug for f in FAULTS}) == len(FAULTS) >= 100
    assert {f.bug_type for f in FAULTS} == set(get_args(BugType))


def test_a_method_that_is_not_there_is_refused() -> None:
    """A fault whose method was renamed must not silently become honest."""
    with pytest.raises(ValueError, match="no method 'nothing'"):
        Fault("x", "bias", "factors", "y", "nothing", lambda right, me: None)


def test_faults_add_up() -> None:
    """Each edits what the one before left; the pipeline itself stays as it is."""
    case = all_cases()["mlp/tanh-square"]
    summed = next(f for f in FAULTS if f.slug == "s-summed-over-examples")
    doubled = next(f for f in FAULTS if f.slug == "s-twice-too-large")
    right = Pipeline().factors(case, 0)["fc1"][1]
    both = edited(Pipeline, summed, doubled)().factors(case, seed=0)["fc1"][1]
    assert both == pytest.approx(2 * case.num_examples * right, rel=1e-14)
    assert faulty(summed).factors(case, 0)["fc1"][1] == pytest.approx(case.num_examples * right)
