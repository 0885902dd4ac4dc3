"""Cholesky's factor within its bound, and solves with torch's own digits, without the copies."""

import torch

from refimpl.curvature.dense import cholesky, cholesky_solve
from validation.bench.measure import peak_memory


def matrix(size: int) -> torch.Tensor:
    root = torch.randn(size, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return root @ root.T


def test_factor_and_solve_hold_one_matrix_more():
    G = matrix(2000)
    before, b = G.clone(), G[:, :3] + 1
    peak, L = peak_memory(lambda: cholesky(G, 0.5))
    assert peak < 1.3 * 8 * G.numel()  # with LAPACK's copy it would be two
    torch.testing.assert_close(G, before, rtol=0, atol=0)
    damped = G + 0.5 * torch.eye(2000, dtype=torch.float64)
    # |A - L L^T| <= (n + 1) u |L| |L^T| (Higham 2002, theorem 10.3), and || |L| |L^T| ||_F <= trace A.
    bound = 2001 * 2.0**-53 * float(damped.trace())
    assert float((L @ L.T - damped).norm()) <= bound
    assert float(L.triu(1).norm()) == 0.0
    solving, x = peak_memory(lambda: cholesky_solve(L, b))
    assert solving < 0.3 * 8 * G.numel()
    torch.testing.assert_close(x, torch.cholesky_solve(b, L), rtol=0, atol=0)


def test_an_indefinite_matrix_has_no_factor():
    assert cholesky(-matrix(5), 0.5) is None
