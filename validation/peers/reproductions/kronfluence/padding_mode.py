"""A convolution that does not pad with zeros: kronfluence takes its patches as if it did.

One 1-d filter of width 3 over x = (1, 2, 4, 8), padded in a circle, loss: the sum of the outputs. By
hand the gradient of each tap is the sum of x, 15, and without a Hessian (strategy "identity") the
score of the example with itself is 3 * 15^2 = 675.
"""

import tempfile

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments
from kronfluence.task import Task
from torch import nn
from torch.utils.data import TensorDataset


class Output(Task):
    def compute_train_loss(self, batch, model, sample=False):
        return model(batch[0]).sum()

    def compute_measurement(self, batch, model):
        return model(batch[0]).sum()


x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 1, 1, 4)
model = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), padding_mode="circular", bias=False)
by_torch = torch.autograd.grad(model(x).sum(), model.weight)[0]
right = 3 * 15.0**2
assert abs((by_torch**2).sum().item() - right) < 1e-3  # autograd agrees with the hand

task = Output()
with tempfile.TemporaryDirectory() as folder:
    model = prepare_model(nn.Sequential(model), task)
    analyzer = Analyzer("a", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
    data = TensorDataset(x)
    analyzer.fit_all_factors("f", data, 1, factor_args=FactorArguments(strategy="identity"))
    analyzer.compute_pairwise_scores("s", "f", data, data, 1)
    found = analyzer.load_pairwise_scores("s")["all_modules"].item()
print(f"kronfluence {found:g}, by hand {right:g}: {found / right:.4g} of it")
raise SystemExit(abs(found / right - 1) < 1e-3)
