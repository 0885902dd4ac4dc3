"""EK-FAC of a model in float64 fails: its buffers are made in float32, whatever the model is."""

import torch
from pydvl.influence.torch import EkfacInfluence
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(6, 2).double(), torch.tensor([0, 1, 2, 0, 1, 2])
model = nn.Sequential(nn.Linear(2, 3)).double()
influence = EkfacInfluence(model, hessian_regularization=0.1)
try:
    influence.fit(DataLoader(TensorDataset(x, y), batch_size=3)).influences(x, y)
    said = "nothing"
except Exception as error:
    said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
print(f"raises {said}")
raise SystemExit(said == "nothing")
