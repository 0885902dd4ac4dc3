"""A convolution that does not pad with zeros: K-FAC and EK-FAC take its patches as if it did.

One filter of width 3 and no bias over x = (1, 2, 4, 8), padded in a circle, its outputs averaged, loss
(f - y)^2. By hand df/dw = 15/4 for each of the three taps and the GGN is 2 (15/4)^2 in every entry.
EK-FAC must have its trace, 3 * 2 (15/4)^2, whatever its basis (George et al. 2018).
"""

import torch
from curvlinops import EKFACLinearOperator, FisherType, GGNLinearOperator
from torch import nn


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), padding_mode="circular", bias=False)

    def forward(self, x):
        return self.conv(x).mean(dim=(2, 3))


model = Mean().double()
x = torch.tensor([1.0, 2.0, 4.0, 8.0]).double().reshape(1, 1, 1, 4)
data = [(x, torch.zeros(1, 1).double())]
arguments = model, nn.MSELoss(reduction="sum"), list(model.parameters()), data
right = 3 * 2 * (15 / 4) ** 2
exact = (GGNLinearOperator(*arguments) @ torch.eye(3).double()).trace().item()
found = EKFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2).trace.item()
print(f"GGN: trace {exact:g}, by hand {right:g}: {exact / right:g} of it")
print(f"EK-FAC: trace {found:g}, by hand {right:g}: {found / right:.4g} of it")
assert abs(exact / right - 1) < 1e-12
raise SystemExit(abs(found / right - 1) < 1e-3)
