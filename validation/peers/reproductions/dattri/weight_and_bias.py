"""EK-FAC's solve mixes weights and biases: [vec W, b] is reshaped to (O, I + 1) as if b were a column.

With Q = I and Lambda = 0 the solve divides by the damping; with Lambda large where the bias stands and 0
elsewhere it must leave the weights alone. One layer of two inputs and two outputs: by hand
(Lambda + damping)^-1 with damping 1 of W = 1, b = 1 is W = 1, b = 1 / (1 + 99) for Lambda = 99 in the
last column, whose place `estimate_lambda` gives to the bias ("attach ones to the end of inputs").
"""

import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.task import AttributionTask
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

model = nn.Sequential(nn.Linear(2, 2))


def loss(params, data):
    return torch.func.functional_call(model, params, (data[0],)).sum(-1).mean()


task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
attributor = IFAttributorEKFAC(task, module_name=["0"], damping=1.0)
# Inputs zero: by its own hand A is diag(0, 0, 1), whose last coordinate is the bias's.
attributor.cache(DataLoader(TensorDataset(torch.zeros(4, 2)), batch_size=4))
assert attributor.cached_lambdas["0"].shape == (2, 3)
attributor.cached_q["0"] = torch.eye(3), torch.eye(2)
attributor.cached_lambdas["0"] = torch.tensor([[0.0, 0.0, 99.0], [0.0, 0.0, 99.0]])

found = attributor.transform_test_rep(0, torch.ones(1, 6))[0]
right = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.01, 0.01])  # W row by row, then b, as its gradients are
print(f"dattri  [W, b] = {[round(v, 3) for v in found.tolist()]}")
print(f"by hand [W, b] = {[round(v, 3) for v in right.tolist()]}")
raise SystemExit((found - right).abs().max().item() < 1e-3)
