"""A grouped convolution: the gradient of a group is made of the mean over all groups' inputs.

Two groups of one channel and one tap each: f = (w1 x1, w2 x2), loss: their sum. By hand the gradient is
(x1, x2), and without a Hessian (strategy "identity") the score of an example with itself is x1^2 + x2^2.
That covariances are "averaged over channel groups" stands in a docstring; that gradients are, nowhere.
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


x = torch.tensor([1.0, -3.0]).reshape(1, 2, 1, 1)
model = nn.Conv2d(2, 2, 1, groups=2, bias=False)
by_torch = torch.autograd.grad(model(x).sum(), model.weight)[0]
right = 1.0**2 + 3.0**2
assert abs((by_torch**2).sum().item() - right) < 1e-5  # autograd agrees with the hand

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
