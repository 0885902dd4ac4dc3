"""EK-FAC's solve takes the last entries of every layer for its bias, also where there is none.

One layer of two inputs and two outputs without bias, Q = I, Lambda = 0 in the first column and 99 in the
second, regularisation 1. By hand the solve leaves the first column of V and divides the second by 100.
"""

import torch
from pydvl.influence.torch import EkfacInfluence
from pydvl.influence.torch.util import EkfacRepresentation
from torch import nn

model = nn.Sequential(nn.Linear(2, 2, bias=False))
influence = EkfacInfluence(model, hessian_regularization=1.0)
influence.ekfac_representation = EkfacRepresentation(
    ["0"], [model[0]], [torch.eye(2)], [torch.eye(2)], [torch.tensor([0.0, 99.0, 0.0, 99.0])]
)
found = influence._solve_hvp(torch.ones(1, 4))[0]
right = torch.tensor([1.0, 0.01, 1.0, 0.01])
print(
    f"pyDVL {[round(v, 3) for v in found.tolist()]}, by hand {[round(v, 3) for v in right.tolist()]}"
)
raise SystemExit((found - right).abs().max().item() < 1e-3)
