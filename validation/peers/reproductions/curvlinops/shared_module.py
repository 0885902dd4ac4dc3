"""A module that the model calls twice: EK-FAC takes the last call's input for both calls.

f(x) = w (w x) with one scalar weight, loss (f - y)^2, one example. By hand df/dw = 2 w x and the GGN is
2 (2 w x)^2. EK-FAC of one parameter must be that number, and so must K-FAC-expand up to the mean over
calls: its product of summed factors is (x^2 + (w x)^2) * 2 (w^2 + 1), twice the mean of the inputs'
squares times the sum of the gradients' squares. No warning is given.
"""

import torch
from curvlinops import EKFACLinearOperator, FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.layer(self.layer(x))


model, w, x = Twice().double(), 3.0, 2.0
nn.init.constant_(model.layer.weight, w)
one = torch.ones(1, 1).double()
arguments = model, nn.MSELoss(reduction="sum"), list(model.parameters()), [(x * one, 0 * one)]
right = 2 * (2 * w * x) ** 2
exact = (GGNLinearOperator(*arguments) @ one).item()
found = (EKFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one).item()
kfac = (KFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one).item()
expand = (x**2 + (w * x) ** 2) / 2 * 2 * (w**2 + 1)
print(f"GGN: {exact:g}, by hand {right:g}: {exact / right:g} of it")
print(f"EK-FAC: {found:g}, by hand {right:g}: {found / right:.4g} of it")
print(f"K-FAC: {kfac:g}, expand by hand {expand:g}: {kfac / expand:.4g} of it")
assert abs(exact / right - 1) < 1e-12
raise SystemExit(abs(found / right - 1) < 1e-3)
