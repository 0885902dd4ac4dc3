"""`gauss_newton` divides by the wrong number, which depends on how the data are cut into batches.

Its docstring: the sum over examples of the loss gradients' outer products; `GaussNewtonOperator`, which
CG uses, has their mean. Here f = w . x with loss f, so that the gradients are the x_n and the mean is
mean x x^T. The code counts the *parameters* of every batch but the first: with one batch it divides by
zero, with B batches by (B - 1) P.
"""

import torch
from pydvl.influence.torch.functional import gauss_newton
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
N, P = 12, 3
x = torch.randn(N, P)
model = nn.Sequential(nn.Linear(P, 1, bias=False))
data = TensorDataset(x, torch.zeros(N))


def loss(outputs, targets):
    return outputs.mean()


right = x.T @ x / N
for batch in (12, 6, 3):
    found = gauss_newton(model, loss, DataLoader(data, batch_size=batch))
    ratio = (found.trace() / right.trace()).item()
    print(f"{N // batch} batches: {ratio:.4g} times the mean, {ratio / N:.4g} times the sum")
raise SystemExit(abs(ratio - 1) < 1e-3 or abs(ratio / N - 1) < 1e-3)
