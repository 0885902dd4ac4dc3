"""`GaussNewtonOperator`, which CG uses, averages over batches as if products were lists of points.

f = w . x with loss f, so that the gradients are the x_n; its docstring: the mean of their outer products,
G = mean x x^T. The products of batches with a vector have length P, and `PointAveraging` takes P for the
number of points of a batch: with one batch the answer is G v / P, with two (G_1 / P + G_2) v / 2.
"""

import torch
from pydvl.influence.torch.operator import GaussNewtonOperator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
N, P = 12, 3
x = torch.randn(N, P)
model = nn.Sequential(nn.Linear(P, 1, bias=False))
data, v = TensorDataset(x, torch.zeros(N)), torch.ones(P)


def loss(outputs, targets):
    return outputs.mean()


right = x.T @ x @ v / N
for batch in (12, 6):
    operator = GaussNewtonOperator(model, loss, DataLoader(data, batch_size=batch))
    found = operator.apply(v)
    error = ((found - right).norm() / right.norm()).item()
    print(f"{N // batch} batches: relative error {error:.2g}, ratios {(found / right).tolist()}")
raise SystemExit(error < 1e-3)
