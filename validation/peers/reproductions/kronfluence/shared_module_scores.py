"""A module that the model calls twice: scores see one call of a training example, not both.

f(x) = w (w x) with one scalar weight, loss f. By hand df/dw = 2 w x, so that without a Hessian
(strategy "identity") the score of a query q and an example t is (2 w q)(2 w t).
"""

import tempfile

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments
from kronfluence.task import Task
from torch import nn
from torch.utils.data import TensorDataset


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.layer(self.layer(x))


class Output(Task):
    def compute_train_loss(self, batch, model, sample=False):
        return model(batch[0]).sum()

    def compute_measurement(self, batch, model):
        return model(batch[0]).sum()


model, w, q, t = Twice(), 3.0, 1.0, 2.0
nn.init.constant_(model.layer.weight, w)
x = torch.tensor([[t]])
by_torch = torch.autograd.grad(model(x).sum(), model.layer.weight)[0].item()
assert abs(by_torch - 2 * w * t) < 1e-6  # autograd agrees with the hand

task = Output()
with tempfile.TemporaryDirectory() as folder:
    model = prepare_model(model, task)
    analyzer = Analyzer("a", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
    arguments = FactorArguments(strategy="identity", has_shared_parameters=True)
    analyzer.fit_all_factors("f", TensorDataset(x), 1, factor_args=arguments)
    analyzer.compute_pairwise_scores(
        "s", "f", TensorDataset(torch.tensor([[q]])), TensorDataset(x), 1
    )
    found = analyzer.load_pairwise_scores("s")["all_modules"].item()
right = (2 * w * q) * (2 * w * t)
print(f"kronfluence {found:g}, by hand {right:g}: {found / right:g} of it")
raise SystemExit(abs(found / right - 1) < 1e-3)
