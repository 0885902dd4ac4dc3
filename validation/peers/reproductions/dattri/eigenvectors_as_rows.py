"""EK-FAC reads the rows of eigh's matrix as eigenvectors; they are its columns.

One linear layer of three inputs and no bias, f = w . x, loss f: the gradient of example n is x_n, and the
empirical Fisher of w is A = mean x x^T. EK-FAC is exact here whatever its labels, since the gradients of
the one output are all 1: (EK-FAC + damping)^-1 v must be (A + damping)^-1 v, by torch.linalg.solve.
"""

import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.task import AttributionTask
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
model = nn.Sequential(nn.Linear(3, 1, bias=False))


def loss(params, data):
    return torch.func.functional_call(model, params, (data[0],)).mean()


task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
damping, v = 0.1, torch.tensor([[1.0, 2.0, 3.0]])
attributor = IFAttributorEKFAC(task, module_name=["0"], damping=damping)
attributor.cache(DataLoader(TensorDataset(x), batch_size=4))
found = attributor.transform_test_rep(0, v)

A = x.T @ x / len(x)
right = torch.linalg.solve(A + damping * torch.eye(3), v.T).T
error = ((found - right).norm() / right.norm()).item()
print(f"dattri {found.tolist()}, by hand {right.tolist()}: relative error {error:.2g}")
Q, _ = attributor.cached_q["0"]


def off_diagonal(M):
    return (M - torch.diag(M.diag())).abs().max().item()


print(f"off the diagonal of Q A Q^T, as it takes it: {off_diagonal(Q @ A @ Q.T):.2g}")
print(f"off the diagonal of Q^T A Q: {off_diagonal(Q.T @ A @ Q):.1e}")
raise SystemExit(error < 1e-3)
