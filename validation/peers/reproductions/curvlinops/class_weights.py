"""Class weights of CrossEntropyLoss are ignored by the exact Fisher (TYPE2) of K-FAC and EK-FAC.

One example x = 1 with label 0 and logits 0, one linear layer. By hand the Hessian of the weighted loss
in the logits is v_0 (diag(p) - p p^T) with p = (1/2, 1/2): for v = (5, 1) its trace is 5 * 1/2. The
GGN operator of the same library has it.
"""

import torch
from curvlinops import EKFACLinearOperator, FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn

model = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
nn.init.zeros_(model[0].weight)
loss = nn.CrossEntropyLoss(torch.tensor([5.0, 1.0]).double(), reduction="sum")
arguments = model, loss, list(model.parameters()), [(torch.ones(1, 1).double(), torch.tensor([0]))]
right = 5 * 0.5

found = {
    "GGN": GGNLinearOperator(*arguments) @ torch.eye(2).double(),
    "K-FAC": KFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ torch.eye(2).double(),
    "EK-FAC": EKFACLinearOperator(*arguments, fisher_type=FisherType.TYPE2) @ torch.eye(2).double(),
}
for name, matrix in found.items():
    print(f"{name}: trace {matrix.trace():g}, by hand {right:g}: {matrix.trace() / right:g} of it")
assert abs(found["GGN"].trace() - right) < 1e-12
raise SystemExit(abs(found["K-FAC"].trace() / right - 1).item() < 1e-3)
