"""EK-FAC of inputs with a token axis fails, though its docstrings describe "t, the sequence length".

`_update_covariance` sets `a_prev` for inputs of two axes alone. Where the first layers have two axes and
a later one three, it goes on with the layer before: silently, if the widths fit.
"""

import dattri.func.fisher as fisher
import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.task import AttributionTask
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Broadcast(nn.Module):
    """A layer on [n, 2], then one on two tokens [n, 2, 2] that are its output and twice that."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)

    def forward(self, x):
        a = self.first(x)
        return self.second(torch.stack([a, 2 * a], dim=1)).sum((1, 2))


def attributor(model, names):
    def loss(params, data):
        return torch.func.functional_call(model, params, (data[0],)).sum(-1).mean()

    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    return IFAttributorEKFAC(task, module_name=names, damping=1.0)


try:
    made = attributor(nn.Sequential(nn.Linear(2, 1), nn.Flatten(1)), ["0"])
    made.cache(DataLoader(TensorDataset(torch.ones(4, 3, 2)), batch_size=4))
    raised = "nothing"
except Exception as error:
    raised = f"{type(error).__name__}: {error}"
print(f"inputs [4, 3, 2] raise {raised}")

kept, own = {}, fisher.estimate_eigenvector
fisher.estimate_eigenvector = lambda covariances: kept.update(covariances) or own(covariances)
model = Broadcast()
nn.init.eye_(model.first.weight)
x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
try:
    attributor(model, ["first", "second"]).cache(DataLoader(TensorDataset(x), batch_size=2))
except Exception as error:
    print(f"later it stops: {type(error).__name__}: {error}")
# By hand: tokens x and 2 x, so that the mean over the two examples of sum_t a a^T is 5 mean x x^T.
right = 5 * x.T @ x / 2
found = kept["second"][0] if "second" in kept else torch.full((2, 2), torch.nan)
print(
    f"A of the second layer, times its 2 tokens: {(2 * found).tolist()}, by hand {right.tolist()}"
)
raise SystemExit(raised == "nothing" and torch.allclose(2 * found, right))
