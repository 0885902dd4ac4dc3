"""CG ignores `tol`: it stops after `max_iter = 10` steps, whatever the residual, and says nothing.

The loss 1/2 sum_i w_i^2 i^-2 has the Hessian diag(1, 2^-2, ..., 30^-2). By hand (H + r)^-1 v is
v_i / (i^-2 + r). The docstring: "Algorithm stops if residual norm < tol. Default is 1e-7".
"""

import warnings

import torch
from dattri.func.hessian import ihvp_cg

P, r = 30, 1e-3
i = torch.arange(1.0, P + 1).double()


def loss(w):
    return 0.5 * ((w / i) ** 2).sum()


v = torch.ones(1, P).double()
right = v / (i**-2 + r)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = ihvp_cg(loss, tol=1e-10, regularization=r)((torch.zeros(P).double(),), v)
residual = ((found * (i**-2 + r) - v).norm() / v.norm()).item()
error = ((found - right).norm() / right.norm()).item()
more = ihvp_cg(loss, max_iter=200, regularization=r)((torch.zeros(P).double(),), v)
print(f"residual {residual:.2g} at tol = 1e-10, relative error {error:.2g}, warnings: {len(said)}")
print(f"with max_iter = 200: relative error {((more - right).norm() / right.norm()).item():.2g}")
raise SystemExit(error < 1e-3)
