"""CGInverseLinearOperator as it comes stops far from the solution, and says nothing.

G = diag(1, 2^-2, ..., 30^-2) from 30 examples e_i / i with f = w . x, loss 1/2 sum (f - y)^2, plus a
damping of 1e-3. By hand (G + damping)^-1 v is v_i / (i^-2 + damping). Its tolerance, where none is
given, is linear_operator's cg_tolerance: 1, relative to ||v||.
"""

import warnings

import torch
from curvlinops import CGInverseLinearOperator, GGNLinearOperator
from curvlinops.examples import IdentityLinearOperator
from torch import nn

P, damping = 30, 1e-3
i = torch.arange(1.0, P + 1).double()
model = nn.Sequential(nn.Linear(P, 1, bias=False)).double()
params = list(model.parameters())
data = [(torch.diag(1 / i) / 2**0.5, torch.zeros(P, 1).double())]  # MSELoss has the factor 2
G = GGNLinearOperator(model, nn.MSELoss(reduction="sum"), params, data)
assert (G @ torch.eye(P).double() - torch.diag(i**-2)).abs().max() < 1e-14
damped = G + damping * IdentityLinearOperator([(1, P)], torch.device("cpu"), torch.float64)
v = torch.ones(P).double()
right = v / (i**-2 + damping)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = CGInverseLinearOperator(damped) @ v
error = ((found - right).norm() / right.norm()).item()
about = [str(w.message) for w in said if "CG" in str(w.message)]
print(f"relative error {error:.2g}, warnings about it: {about or 'none'}")
raise SystemExit(error < 1e-3)
