"""Several loss terms per example that share a layer's output: the exact Fisher has their cross terms.

One scalar layer z = w x whose output is used for two tokens, f = (z, z), loss sum_t (f_t - y_t)^2, one
example. By hand the GGN is sum_t 2 x^2 = 4 x^2, and K-FAC, with one example and one position, is exact:
the same number. TYPE2 backpropagates sqrt(2) f_1 + sqrt(2) f_2 at once, whose square is 8 x^2. Drawn
labels (MC) are independent, and have the right mean.
"""

import torch
from curvlinops import FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        z = self.layer(x)
        return torch.stack([z, z], dim=1)  # [n, tokens, 1]


model, x, one = Shared().double(), 3.0, torch.ones(1, 1).double()
data = [(x * one, torch.zeros(1, 2, 1).double())]
arguments = model, nn.MSELoss(reduction="sum"), list(model.parameters()), data
right = 4 * x**2
exact = (GGNLinearOperator(*arguments) @ one).item()
found = (KFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one).item()
drawn = KFACLinearOperator(*arguments, fisher_type=FisherType.MC, mc_samples=4000) @ one
print(f"GGN: {exact:g}, by hand {right:g}: {exact / right:g} of it")
print(f"K-FAC, exact Fisher: {found:g}, by hand {right:g}: {found / right:g} of it")
print(f"K-FAC, 4000 drawn labels: {drawn.item() / right:.2f} of it")
assert abs(exact / right - 1) < 1e-12
raise SystemExit(abs(found / right - 1) < 1e-3)
