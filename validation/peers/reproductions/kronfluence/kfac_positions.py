"""K-FAC over T tokens is too small by the factor T: both covariances are divided by N T.

f = w a at every token, loss 1/2 sum_t (f_t - y_t)^2, one example. By hand the Gauss-Newton Hessian is
sum_t a_t^2, and K-FAC is exact here (Martens & Grosse 2015; Eschenhagen et al. 2023): any (A, S) with
the product sum_t a_t^2 is right. The labels drawn are f + 1, whose gradient squared is the variance 1.
With a damping of 1e-3 the inverse, and with it the scores of strategy "kfac", is T times too large.
"""

import tempfile

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import nn
from torch.utils.data import TensorDataset


class Squares(Task):
    def compute_train_loss(self, batch, model, sample=False):
        x, y = batch
        f = model(x)
        return 0.5 * ((f - (f.detach() + 1 if sample else y)) ** 2).sum()

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)


T, damping = 4, 1e-3
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 1, bias=False)).double()
a, y = torch.tensor([[[1.0], [2.0], [-1.0], [3.0]]]).double(), torch.zeros(1, T, 1).double()


def loss(w):
    return 0.5 * ((a * w - y) ** 2).sum()


w = model[0].weight.detach().reshape(())
G = (a**2).sum().item()
assert abs(torch.autograd.functional.hessian(loss, w).item() - G) < 1e-9  # here it is the Hessian
g = torch.autograd.functional.jacobian(loss, w).item()
right = g * g / (G + damping)

dtypes = {f"{k}_dtype": torch.float64 for k in ("activation_covariance", "gradient_covariance")}
task, double = Squares(), torch.float64
with tempfile.TemporaryDirectory() as folder:
    model = prepare_model(model, task)
    analyzer = Analyzer("a", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
    data = TensorDataset(a, y)
    analyzer.fit_all_factors("f", data, 1, factor_args=FactorArguments("kfac", **dtypes))
    raw = analyzer.load_covariance_matrices("f")
    score = ScoreArguments(
        damping_factor=damping,
        score_dtype=double,
        per_sample_gradient_dtype=double,
        precondition_dtype=double,
    )
    analyzer.compute_pairwise_scores("s", "f", data, data, 1, score_args=score)
    found = analyzer.load_pairwise_scores("s")["all_modules"].item()
A, S = (
    (raw[f"{k}_covariance"][n] / raw[f"num_{k}_covariance_processed"][n]).item()
    for k in ("activation", "gradient")
    for n in raw[f"{k}_covariance"]
)
print(f"A S: kronfluence {A * S:g}, by hand {G:g}: {A * S / G:g} of it, T = {T}")
print(f"score: kronfluence {found:g}, by hand {right:g}: {found / right:.4g} times it")
raise SystemExit(abs(found / right - 1) < 1e-3)
