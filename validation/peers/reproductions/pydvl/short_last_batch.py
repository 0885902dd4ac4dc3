"""`HessianOperator`, which CG uses, weighs a short last batch like a whole one.

f = w x with one weight, loss the mean of 1/2 f^2: the Hessian is mean x^2. For x = (1, 1, 1, 3) that is 3.
In batches of three and one, the mean of the batches' means is (1 + 9) / 2 = 5. `DirectInfluence` weighs
them by their sizes.
"""

import torch
from pydvl.influence.torch.functional import hessian
from pydvl.influence.torch.operator import HessianOperator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x = torch.tensor([[1.0], [1.0], [1.0], [3.0]])
model = nn.Sequential(nn.Linear(1, 1, bias=False))


def loss(outputs, targets):
    return 0.5 * (outputs**2).mean()


right, loader = 3.0, DataLoader(TensorDataset(x, torch.zeros(4)), batch_size=3)
assert abs((x**2).mean().item() - right) < 1e-6
found = HessianOperator(model, loss, loader).apply(torch.ones(1)).item()
direct = hessian(model, loss, loader).item()
print(f"HessianOperator {found:g}, hessian() {direct:g}, by hand {right:g}")
raise SystemExit(abs(found / right - 1) < 1e-3)
