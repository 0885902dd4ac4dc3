"""The pos_weight of BCEWithLogitsLoss is ignored by the exact Fisher (TYPE2) of K-FAC and EK-FAC.

One positive example x = 1 with logit 0, one linear layer. By hand the second derivative of the loss in
the logit is w sigma (1 - sigma) = 7 / 4 for w = 7. The GGN operator of the same library has it.
"""

import torch
from curvlinops import EKFACLinearOperator, FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn

model = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
nn.init.zeros_(model[0].weight)
one = torch.ones(1, 1).double()
loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([7.0]).double(), reduction="sum")
arguments = model, loss, list(model.parameters()), [(one, one)]
right = 7 / 4

found = {
    "GGN": GGNLinearOperator(*arguments) @ one,
    "K-FAC": KFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one,
    "EK-FAC": EKFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ one,
}
for name, value in found.items():
    print(f"{name}: {value.item():g}, by hand {right:g}: {value.item() / right:g} of it")
assert abs(found["GGN"].item() - right) < 1e-12
raise SystemExit(abs(found["K-FAC"].item() / right - 1) < 1e-3)
