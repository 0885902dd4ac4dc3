"""EK-FAC of a layer that acts on T tokens: squares are taken token by token, and A is summed over them.

One layer f = (w1, w2) x of a scalar x, on two tokens whose outputs are averaged, softmax. By hand, with
one example of tokens x = 1 and x = -1, the averaged output is zero whatever w: the Fisher of w is zero.
The gradient of the example is the sum over tokens of g a = (g/2)(1) + (g/2)(-1) = 0, and Lambda, its
second moment, is zero as well (George et al. 2018).
"""

import torch
from pydvl.influence.torch import EkfacInfluence
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Averaged(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 2, bias=False)

    def forward(self, x):
        return self.layer(x).mean(dim=1) + torch.tensor([1.0, 0.0])


model = Averaged()
x = torch.tensor([[[1.0], [-1.0]]])
jacobian = torch.autograd.functional.jacobian(
    lambda w: (x[0] @ w.T).mean(0), model.layer.weight.detach()
)
assert jacobian.abs().max() == 0  # the outputs do not depend on w, to first order or any
data = DataLoader(TensorDataset(x, torch.tensor([0])), batch_size=1)
influence = EkfacInfluence(model, update_diagonal=True).fit(data)
found = next(iter(influence.ekfac_representation))[1][3]
print(f"Lambda {[round(v, 4) for v in found.tolist()]}, by hand [0, 0]")
raise SystemExit(found.abs().max().item() < 1e-6)
