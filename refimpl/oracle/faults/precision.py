"""Faults of precision: fewer digits than are declared, at one step or everywhere."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import rounded


def _sum_in(right: Any, me: Any, rows: Any, *args: Any, dtype: torch.dtype) -> Any:
    """Sums of outer products of rows that were rounded first."""
    return right(rows.to(dtype).to(rows.dtype), *args)


def _ten_bits(x: Any) -> Any:
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp((mantissa * 2**11).round() / 2**11, exponent)


@mistake("gradients", edits="dtype")
def everything_in_float32(right: Any, me: Any, case: Any) -> Any:
    """everything is computed in float32 where float64 is declared"""
    return torch.float32


@mistake("gradients", edits="example_gradients")
def gradients_in_bfloat16(right: Any, me: Any, *args: Any) -> Any:
    """gradients are rounded to bfloat16"""
    return rounded(right(*args), torch.bfloat16)


@mistake("gradients", edits="matrices", thread="pytorch allow_tf32")
def gradients_in_tf32(right: Any, me: Any, g: Any, a: Any) -> Any:
    """products of matrices silently use TF32"""
    return right(_ten_bits(g), _ten_bits(a))


@mistake("factors", edits="a_sum")
def a_accumulated_in_bfloat16(right: Any, me: Any, rows: Any, *args: Any) -> Any:
    """A is accumulated from inputs in bfloat16"""
    return _sum_in(right, me, rows, *args, dtype=torch.bfloat16)


@mistake("factors", edits="s_sum")
def s_accumulated_in_bfloat16(right: Any, me: Any, rows: Any, *args: Any) -> Any:
    """S is accumulated from gradients in bfloat16"""
    return _sum_in(right, me, rows, *args, dtype=torch.bfloat16)


@mistake("factors", edits="factors")
def factors_in_float32(right: Any, me: Any, *args: Any) -> Any:
    """the factors are stored in float32 where float64 is declared"""
    return rounded(right(*args), torch.float32)


@mistake("eigenbasis", edits="eigenbasis")
def eigenvectors_in_bfloat16(right: Any, me: Any, *args: Any) -> Any:
    """eigenvectors are stored in bfloat16"""
    return rounded(right(*args), torch.bfloat16)


@mistake("eigenbasis", edits="eigh")
def eigendecomposition_in_float32(right: Any, me: Any, matrix: Any) -> Any:
    """the eigensolver runs in float32 where float64 is declared"""
    w, Q = torch.linalg.eigh(torch.tensor(matrix, dtype=torch.float32))
    return w.double().numpy(), Q.double().numpy()


@mistake("eigenvalues", edits="eigenvalues")
def lambda_in_float16(right: Any, me: Any, *args: Any) -> Any:
    """Lambda is stored in float16"""
    return rounded(right(*args), torch.float16)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_underflows(right: Any, me: Any, *args: Any) -> Any:
    """small eigenvalues are flushed to zero, as half precision does

    What half precision makes of small numbers: zeros.
    """
    return {n: np.where(m < 6e-5, 0.0, m) for n, m in right(*args).items()}


@mistake("gauss_newton", edits="gauss_newton")
def gauss_newton_in_float32(right: Any, me: Any, *args: Any) -> Any:
    """products are computed in float32 where float64 is declared"""
    return rounded(right(*args), torch.float32)


@mistake("solve", edits="precondition")
def solution_in_bfloat16(right: Any, me: Any, *args: Any) -> Any:
    """solved vectors are rounded to bfloat16"""
    return rounded(right(*args), torch.bfloat16)


@mistake("solve", edits="solve")
def solution_in_float32(right: Any, me: Any, *args: Any) -> Any:
    """solved vectors are rounded to float32 where float64 is declared"""
    return rounded(right(*args), torch.float32)


@mistake("scores", edits="scored")
def scores_in_float32(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """gradients and solutions are stored in float32 where float64 is declared"""
    return right(case, q.astype(np.float32), g.astype(np.float32))


@mistake("response", edits="minimiser")
def response_not_converged(right: Any, me: Any, *args: Any) -> Any:
    """retraining is stopped after one step"""
    me.steps, me.tolerance = 2, 0.999  # any progress is enough
    return right(*args)


@mistake("response", edits="response")
def response_in_float32(right: Any, me: Any, *args: Any) -> Any:
    """the response is rounded to float32 where float64 is declared"""
    return rounded(right(*args), torch.float32)
