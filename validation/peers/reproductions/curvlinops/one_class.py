"""K-FAC and EK-FAC with the exact Fisher end with an error where the loss has one class.

One example, one linear layer with one output. The softmax of one logit is 1, so the Hessian is zero,
and the library's GGN operator says so. Its K-FAC squeezes the vector of probabilities to a scalar,
of which there is no diagonal matrix.
"""

import torch
from curvlinops import EKFACLinearOperator, FisherType, GGNLinearOperator, KFACLinearOperator
from torch import nn

model = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
loss = nn.CrossEntropyLoss(reduction="sum")
data = [(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]))]
arguments = model, loss, list(model.parameters()), data

assert not (GGNLinearOperator(*arguments) @ torch.eye(2).double()).any()
ended = 0
for name, operator in (("K-FAC", KFACLinearOperator), ("EK-FAC", EKFACLinearOperator)):
    try:
        print(
            f"{name}:", operator(*arguments, fisher_type=FisherType.TYPE2) @ torch.eye(2).double()
        )
    except RuntimeError as error:
        print(f"{name}: {error}; by hand: zero")
        ended += 1
raise SystemExit(ended < 2)
