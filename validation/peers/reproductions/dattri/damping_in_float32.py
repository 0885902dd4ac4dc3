"""The explicit solve adds lambda as float32 has it, to a Hessian in float64.

The loss 1/2 h w^2 has the Hessian h. By hand (h + r)^-1 v is v / (h + r). The identity that r multiplies
is made in the default dtype, whatever that of the Hessian.
"""

import torch
from dattri.func.hessian import ihvp_explicit

h, r = 0.01, 0.1
v = torch.ones(1, 1).double()


def loss(w):
    return 0.5 * h * (w**2).sum()


found = ihvp_explicit(loss, regularization=r)((torch.zeros(1).double(),), v).item()
right = 1 / (h + r)
rounded = 1 / (h + torch.tensor(r, dtype=torch.float32).double().item())
print(f"dattri {found:.12f}, by hand {right:.12f}: relative error {abs(found / right - 1):.1e}")
print(f"by hand with r rounded to float32: relative error {abs(found / rounded - 1):.0e}")
assert abs(rounded / right - 1) > 1e-9
raise SystemExit(abs(found / right - 1) < 1e-12)
