"""What travels comes back as it was, in the order of the flat vector."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from refimpl.oracle import Conventions
from refimpl.oracle.cases import quick
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.wire import (
    pack_arguments,
    pack_case,
    read_arrays,
    unpack_answer,
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


def of_a_program(folder: Path, dtype: torch.dtype):
    """The scores that a program wrote in a dtype, as they are read."""
    case = next(iter(quick().values()))
    scores = torch.ones(len(case.query_inputs), case.num_examples)
    if dtype.is_complex:
        scores = scores + 1j
    save_file({"answer": scores.to(dtype)}, folder / "a")
    return STAGES["scores"].read(unpack_answer("scores", read_arrays(folder / "a")), case)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2, torch.int32])
def test_a_program_may_answer_in_any_real_numbers(dtype: torch.dtype, tmp_path: Path) -> None:
    assert (of_a_program(tmp_path, dtype) == 1).all()


@pytest.mark.parametrize(
    ("dtype", "said"), [(torch.bool, "it holds booleans"), (torch.complex64, "an imaginary part")]
)
def test_what_a_program_answers_besides_is_refused(dtype, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match=said):
        of_a_program(tmp_path, dtype)
