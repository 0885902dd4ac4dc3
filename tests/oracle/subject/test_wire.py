"""What travels comes back as it was, in the order of the flat vector."""

from pathlib import Path

import numpy as np
import pytest

from refimpl.oracle import Conventions
from refimpl.oracle.cases import quick
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.wire import (
    pack_arguments,
    pack_case,
    read_arrays,
    unpack_arguments,
    unpack_case,
    write_arrays,
)
from refimpl.oracle.truth.truth import Truth


@pytest.mark.parametrize("name", list(quick()))
def test_a_case_comes_back(name: str, tmp_path: Path) -> None:
    case = quick()[name].but(conventions=Conventions(bias="separate"))
    plain, arrays = pack_case(case)
    write_arrays(tmp_path / "a", arrays)
    again = unpack_case(plain, read_arrays(tmp_path / "a"))
    assert again.to_json() == case.to_json()
    left, right = Truth(case).gradients, Truth(again).gradients
    assert list(left) == list(right)
    assert all(np.array_equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("name", list(quick()))
def test_a_state_comes_back_in_the_order_of_the_flat_vector(name: str, tmp_path: Path) -> None:
    case = quick()[name]
    truth = Truth(case)
    state = State(case, truth.factors, truth.basis, truth.eigenvalues)
    vectors = np.ones((2, case.num_parameters))
    numbers, arrays = pack_arguments({"state": state, "vectors": vectors, "damping": 0.5})
    write_arrays(tmp_path / "a", arrays)
    found = unpack_arguments("solve", case, numbers, read_arrays(tmp_path / "a"))
    assert found["damping"] == 0.5
    assert np.array_equal(found["vectors"], vectors)
    for given, own in (
        (state.factors, found["state"].factors),
        (state.basis, found["state"].basis),
    ):
        assert list(own) == list(given)
        assert all(
            np.array_equal(a, b) for n in given for a, b in zip(given[n], own[n], strict=True)
        )
    assert list(found["state"].eigenvalues) == list(truth.eigenvalues)
