"""A parameter that two modules share: products with K-FAC hold the last module's part alone.

f(x) = l2(l1(x)) where both layers have the same scalar weight w, loss (f - y)^2, one example. By hand
df/dw = 2 w x, and the GGN is 2 (2 w x)^2, as for one module called twice. No error, no warning.
"""

import torch
from curvlinops import FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn

model, w, x = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(2))).double(), 3.0, 2.0
model[1].weight = model[0].weight
nn.init.constant_(model[0].weight, w)
one = torch.ones(1, 1).double()
arguments = model, nn.MSELoss(reduction="sum"), list(model.parameters()), [(x * one, 0 * one)]
right = 2 * (2 * w * x) ** 2
exact = (GGNLinearOperator(*arguments) @ one).item()
found = (KFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one).item()
last = 2 * (w * x) ** 2  # l2's input w x, its gradient's second moment 2
expand = (x**2 + (w * x) ** 2) / 2 * 2 * (w**2 + 1)
print(f"GGN: {exact:g}, by hand {right:g}: {exact / right:g} of it")
print(f"K-FAC: {found:g}; the second layer alone, by hand, {last:g}; both, expand, {expand:g}")
assert abs(exact / right - 1) < 1e-12
raise SystemExit(abs(found / expand - 1) < 1e-3)
