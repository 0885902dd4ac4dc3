"""Proved vectors: the midpoints of enclosures, far narrower than what an answer is measured by."""

import numpy as np

from refimpl.oracle.truth.truth import Truth
from validation.proved.problems import PROBLEMS
from validation.proved.vectors import PROVED, micro_case, proved_vector


def test_a_micro_case_holds_the_numbers_of_its_problem() -> None:
    for id, (name, flags) in PROVED.items():
        problem = next(p for p in PROBLEMS if p.name == name)
        case = micro_case(id, problem, flags)
        assert case.num_parameters == problem.num_parameters
        np.testing.assert_array_equal(case.inputs, problem.inputs)


def test_a_wrong_enclosure_would_show() -> None:
    """The gradients of another layer's place are not those of the enclosure."""
    vector = proved_vector("proved/saturated-softmax")
    name, flags = PROVED["proved/saturated-softmax"]
    case = micro_case("proved/x", next(p for p in PROBLEMS if p.name == name), flags)
    right = vector.arrays["outputs/gradients/fc1"]
    scale = vector.arrays["scales/gradients/fc1"].astype(float)
    found = Truth(case).gradients["fc1"]
    assert (np.abs(found - right) < 30 * 2.0**-53 * scale).all()
    assert not (np.abs(found * (1 + 1e-10) - right) < 30 * 2.0**-53 * scale).all()
