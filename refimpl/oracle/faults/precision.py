"""Faults of precision: fewer digits than are declared, at one step or everywhere."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import rounded

__all__ = ["FAULTS"]

BUG = "precision"


def _eigh32(right: Any, me: Any, matrix: Any) -> Any:
    w, Q = torch.linalg.eigh(torch.tensor(matrix, dtype=torch.float32))
    return w.double().numpy(), Q.double().numpy()


def _sum_in(dtype: torch.dtype) -> Any:
    """An edit: sums of outer products of rows that were rounded first."""
    return lambda right, me, rows, *args: right(rows.to(dtype).to(rows.dtype), *args)


def _tf32(right: Any, me: Any, g: Any, a: Any) -> Any:
    return right(_ten_bits(g), _ten_bits(a))


def _ten_bits(x: Any) -> Any:
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp((mantissa * 2**11).round() / 2**11, exponent)


def _small_flushed(right: Any, me: Any, *args: Any) -> Any:
    """What half precision makes of small numbers: zeros."""
    return {n: np.where(m < 6e-5, 0.0, m) for n, m in right(*args).items()}


def _stopped(right: Any, me: Any, *args: Any) -> Any:
    me.steps, me.tolerance = 2, 0.999  # any progress is enough
    return right(*args)


FAULTS = (
    Fault(
        "everything-in-float32", BUG, "gradients",
        "everything is computed in float32 where float64 is declared",
        "dtype", lambda right, me, case: torch.float32,
    ),
    Fault(
        "gradients-in-bfloat16", BUG, "gradients",
        "gradients are rounded to bfloat16",
        "example_gradients", rounded(torch.bfloat16),
    ),
    Fault(
        "gradients-in-tf32", BUG, "gradients",
        "products of matrices silently use TF32",
        "matrices", _tf32, "pytorch allow_tf32",
    ),
    Fault(
        "a-accumulated-in-bfloat16", BUG, "factors",
        "A is accumulated from inputs in bfloat16",
        "a_sum", _sum_in(torch.bfloat16),
    ),
    Fault(
        "s-accumulated-in-bfloat16", BUG, "factors",
        "S is accumulated from gradients in bfloat16",
        "s_sum", _sum_in(torch.bfloat16),
    ),
    Fault(
        "factors-in-float32", BUG, "factors",
        "the factors are stored in float32 where float64 is declared",
        "factors", rounded(torch.float32),
    ),
    Fault(
        "eigenvectors-in-bfloat16", BUG, "eigenbasis",
        "eigenvectors are stored in bfloat16",
        "eigenbasis", rounded(torch.bfloat16),
    ),
    Fault(
        "eigendecomposition-in-float32", BUG, "eigenbasis",
        "the eigensolver runs in float32 where float64 is declared",
        "eigh", _eigh32,
    ),
    Fault(
        "lambda-in-float16", BUG, "eigenvalues",
        "Lambda is stored in float16",
        "eigenvalues", rounded(torch.float16),
    ),
    Fault(
        "lambda-underflows", BUG, "eigenvalues",
        "small eigenvalues are flushed to zero, as half precision does",
        "eigenvalues", _small_flushed,
    ),
    Fault(
        "gauss-newton-in-float32", BUG, "gauss_newton",
        "products are computed in float32 where float64 is declared",
        "gauss_newton", rounded(torch.float32),
    ),
    Fault(
        "solution-in-bfloat16", BUG, "solve",
        "solved vectors are rounded to bfloat16",
        "precondition", rounded(torch.bfloat16),
    ),
    Fault(
        "solution-in-float32", BUG, "solve",
        "solved vectors are rounded to float32 where float64 is declared",
        "solve", rounded(torch.float32),
    ),
    Fault(
        "scores-in-float32", BUG, "scores",
        "gradients and solutions are stored in float32 where float64 is declared",
        "scored",
        lambda right, me, case, q, g: right(case, q.astype(np.float32), g.astype(np.float32)),
    ),
    Fault(
        "response-not-converged", BUG, "response",
        "retraining is stopped after one step",
        "minimiser", _stopped,
    ),
    Fault(
        "response-in-float32", BUG, "response",
        "the response is rounded to float32 where float64 is declared",
        "response", rounded(torch.float32),
    ),
)  # fmt: skip
