"""Real numbers are read from every framework's array, and what is none is refused in one sentence."""

import warnings
from array import array
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from refimpl.oracle.stages.numbers import BadAnswer, one_line, real_array

X = np.arange(1.0, 7.0).reshape(2, 3)  # exact in every dtype below
T = torch.from_numpy(X.copy())


class OfArray:
    def __array__(self, dtype=None, copy=None):
        return X


class OfDLPack:
    """An array by DLPack alone, as other frameworks have them."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **asked):
        return self.tensor.__dlpack__()

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


class Elsewhere(OfDLPack):
    """One that numpy may not copy implicitly, as those on an accelerator."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion is not allowed")


class MaskedInside:
    def __array__(self, dtype=None, copy=None):
        return np.ma.array(X, mask=X > 2)


class MaskedBoth(MaskedInside, OfDLPack):
    """One whose DLPack does not tell what is masked."""


class Breaks:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("lazy\n  and gone")


def read_only() -> np.ndarray:
    frozen = X.copy()
    frozen.setflags(write=False)
    return frozen


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.ones(2, 3)


NUMBERS: dict[str, Any] = {
    "numpy": X,
    "integers": X.astype(np.uint8),
    "float16": X.astype(np.float16),
    "long double": X.astype(np.longdouble),
    "the other byte order": X.astype(">f8"),
    "Fortran order": np.asfortranarray(X),
    "negative strides": X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only(),
    "a matrix": np.asmatrix(X),
    "complex with no imaginary part": X + 0j,
    "masked nowhere": np.ma.array(X, mask=np.zeros_like(X, dtype=bool)),
    "lists": X.tolist(),
    "tuples of integers": tuple(map(tuple, X.astype(int).tolist())),
    "a list of tensors": list(T),
    "a list of numpy's numbers": [list(row) for row in X],
    "buffers": [array("d", row) for row in X],
    "__array__": OfArray(),
    "DLPack": OfDLPack(T),
    "DLPack of bfloat16": OfDLPack(T.bfloat16()),
    "on an accelerator": Elsewhere(T),
    "torch": T,
    "a parameter": torch.nn.Parameter(T.clone()),
    "bfloat16": T.bfloat16(),
    "float8": T.to(torch.float8_e4m3fn),
    "negated lazily": torch._neg_view(-T),
    "conjugated lazily": torch.complex(T, torch.zeros_like(T)).conj(),
    "transposed": T.T.contiguous().T,
}


@pytest.mark.parametrize("kind", list(NUMBERS))
def test_numbers_are_read(kind: str) -> None:
    answer = real_array("scores", NUMBERS[kind], X.shape)
    assert type(answer) is np.ndarray
    assert answer.dtype == np.float64
    assert np.array_equal(answer, X)


def nested() -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):  # they are a prototype
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


ELSE: dict[str, tuple[Any, str]] = {
    "complex": (X + 1j, "6 of 6 entries have an imaginary part"),
    "hardly complex": (X + 1e-300j, "6 of 6 entries have an imaginary part"),
    "complex with NaN": (X + np.array(complex(0, np.nan)), "an imaginary part"),
    "a complex tensor": (T + 1j, "an imaginary part"),
    "complex numbers in lists": ([[1.0, 2.0, 3j]] * 2, "2 of 6 entries have an imaginary part"),
    "text": (X.astype(str), "it holds text"),
    "text in lists": (X.astype(str).tolist(), "it holds text"),
    "one text": ("123456", "it holds text"),
    "bytes": (X.astype("S"), "it holds bytes"),
    "a bytearray": (bytearray(6), "it is a bytearray"),
    "booleans": (X > 2, "it holds booleans"),
    "a boolean tensor": (T > 2, "it holds booleans"),
    "one boolean among numbers": ([[1.0, 2.0, True], [4.0, 5.0, 6.0]], "it holds booleans"),
    "masked": (np.ma.array(X, mask=X > 2), "4 of 6 entries are masked"),
    "masked rows": ([np.ma.array(X[0], mask=[1, 0, 0]), X[1]], "1 of 3 entries are masked"),
    "masked by __array__": (MaskedInside(), "4 of 6 entries are masked"),
    "masked, by DLPack too": (MaskedBoth(T), "4 of 6 entries are masked"),
    "objects": (X.astype(object), "it holds Python objects (float)"),
    "decimals": ([[Decimal(1)] * 3] * 2, "it holds Python objects (Decimal)"),
    "fractions": ([[Fraction(1, 2)] * 3] * 2, "it holds Python objects (Fraction)"),
    "integers without end": ([[10**400] * 3] * 2, "it holds Python objects (int)"),
    "a generator": ((row for row in X), "it holds Python objects (generator)"),
    "a dict": ({"fc": X}, "it holds Python objects (dict)"),
    "records": (np.zeros((2, 3), dtype=[("a", float)]), "it holds records"),
    "dates": (X.astype("datetime64[s]"), "it holds dates"),
    "days": ([[date(2026, 1, 1)] * 3] * 2, "it holds Python objects (date)"),
    "time spans": (X.astype("timedelta64[s]"), "it holds time spans"),
    "None": (None, "it is None"),
    "None among numbers": ([[1.0, None, 2.0]] * 2, "it is None"),
    "a sparse tensor": (T.to_sparse(), "not dense (torch.sparse_coo)"),
    "a sparse matrix": (scipy.sparse.csr_matrix(X), "it holds Python objects (csr_matrix)"),
    "a nested tensor": (nested(), "not dense (nested)"),
    "a meta tensor": (T.to("meta"), "it is a tensor on the meta device"),
    "a fake tensor": (fake(), "RuntimeError"),
    "ragged": ([[1.0, 2.0], [1.0, 2.0, 3.0]], "it is ragged"),
    "what breaks": (Breaks(), "reading it raised RuntimeError: lazy and gone"),
    "too large for float64": (X * np.longdouble("1e400"), "6 of 6 entries that are NaN or inf"),
    "of another shape": (X.T, "must have shape (2, 3), got (3, 2)"),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's, of a cast that was let through
@pytest.mark.parametrize("kind", list(ELSE))
def test_what_is_no_array_of_real_numbers_is_refused_in_a_sentence(kind: str) -> None:
    raw, said = ELSE[kind]
    with pytest.raises(BadAnswer) as refusal:
        real_array("scores", raw, X.shape)
    text = str(refusal.value)
    assert text.startswith("scores ")
    assert said in text
    assert "\n" not in text


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def test_an_error_is_told_on_one_line_whatever_it_says() -> None:
    assert one_line(ValueError("a\n\tb")) == "ValueError: a b"
    assert one_line(Mute()) == "Mute: "
    assert len(one_line(ValueError("x" * 10_000))) < 600
