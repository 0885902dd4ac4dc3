"""EK-FAC's S is made of one gradient of all classes together, not of the expectation over labels.

`empirical_cross_entropy_loss_fn` is sum_k sqrt(p_k) log p_k, differentiated once. By hand the gradient in
the logits is u_j = sqrt(p_j) - p_j sum_k sqrt(p_k), and S = u u^T; K-FAC asks for the expectation
sum_k p_k (e_k - p)(e_k - p)^T = diag(p) - p p^T (Martens & Grosse 2015, section 2). The cross terms do
not cancel: where the model is undecided, p = 1/C, u is zero, and so is the curvature.
"""

import torch
from pydvl.influence.torch import EkfacInfluence
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def factor(logits):
    model = nn.Sequential(nn.Linear(1, 3, bias=False))
    model[0].weight.data = logits[:, None].clone()
    data = TensorDataset(torch.ones(1, 1), torch.tensor([0]))
    influence = EkfacInfluence(model)
    return influence._get_kfac_blocks(DataLoader(data, batch_size=1))[1]["0"]


for logits in (torch.zeros(3), torch.tensor([1.0, 0.0, -1.0])):
    p = logits.softmax(0)
    right = torch.diag(p) - torch.outer(p, p)
    enumerated = sum(p[k] * torch.outer(*[torch.eye(3)[k] - p] * 2) for k in range(3))
    assert torch.allclose(right, enumerated, atol=1e-7)  # the formula and the sum over labels
    found = factor(logits)
    error = ((found - right).norm() / right.norm()).item()
    traces = f"{found.trace():.3g}, by hand {right.trace():.3g}"
    print(f"logits {logits.tolist()}: trace of S {traces}; S off by {error:.2g}")
raise SystemExit(error < 1e-3)
