"""A module that the model calls twice: EK-FAC's covariances and Lambda hold the last call alone.

f(x) = w (w x) with one scalar weight, loss f, one example. By hand df/dw = 2 w x: the empirical Fisher of
the one weight, and so Lambda, is (2 w x)^2.
"""

import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.task import AttributionTask
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.layer(self.layer(x))


model, w, x = Twice(), 3.0, torch.tensor([[2.0]])
nn.init.constant_(model.layer.weight, w)


def loss(params, data):
    return torch.func.functional_call(model, params, (data[0],)).mean()


right = (2 * w * 2.0) ** 2
gradient = torch.autograd.grad(model(x).sum(), model.layer.weight)[0].item()
assert abs(gradient**2 - right) < 1e-3  # autograd agrees with the hand

task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
attributor = IFAttributorEKFAC(task, module_name=["layer"], damping=1.0)
attributor.cache(DataLoader(TensorDataset(x), batch_size=1))
found = attributor.cached_lambdas["layer"].item()
print(f"Lambda: dattri {found:g}, by hand {right:g}: {found / right:g} of it")
raise SystemExit(abs(found / right - 1) < 1e-3)
