"""With label smoothing, K-FAC's Monte-Carlo Fisher estimates another matrix than the exact Fisher.

One example x = 1 with logits (0, log 3), one linear layer: p = (1/4, 3/4). Smoothing a label by s leaves
the Hessian in the logits diag(p) - p p^T, of trace 3/8, as FisherType.TYPE2 has it. FisherType.MC draws
a label y from p and takes the gradient of the smoothed loss, p - (1 - s) e_y - s/2. With s = 1/2 that is
zero for y = 1 and (-1/2, 1/2) for y = 0. The mean of its squared norm is 1/4 * 1/2 = 1/8, a third of
3/8. More samples do not help.
"""

import torch
from curvlinops import FisherType, KFACLinearOperator
from torch import nn

model = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
nn.init.zeros_(model[0].weight)
model[0].weight.data[1] = torch.tensor(3.0).double().log()
data = [(torch.ones(1, 1).double(), torch.tensor([0]))]
params = list(model.parameters())


def trace(smoothing: float, kind: str, samples: int = 1) -> float:
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="sum")
    K = KFACLinearOperator(model, loss, params, data, fisher_type=kind, mc_samples=samples)
    return (K @ torch.eye(2).double()).trace().item()


DRAWS = 10_000  # of 0 and 1/2: the mean has a standard deviation of 0.0022
exact, sampled = trace(0.5, FisherType.TYPE2), trace(0.5, FisherType.MC, DRAWS)
plain = trace(0.0, FisherType.MC, DRAWS)  # of 1/8 and 9/8: 0.0043
print(f"by hand {3 / 8}, TYPE2 {exact:g}, MC without smoothing {plain:.3f}")
print(f"MC with smoothing {sampled:.4f}, by hand {1 / 8:.4f}: {sampled / exact:.2f} of TYPE2's")
assert abs(exact - 3 / 8) < 1e-12
assert abs(plain - 3 / 8) < 0.03
raise SystemExit(abs(sampled - 1 / 8) > 0.02)
