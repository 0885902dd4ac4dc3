"""One table: what is refused, with which kind of error, and what the message says.

Each row runs twice where that differs: the tests' beartype hook may object to a wrong type before
our own check does, so such rows accept its message ("Type-check error") as well.
"""

import pytest
import torch
from strategies import mlp
from torch import nn

import refimpl as ri

X, Y = torch.eye(6, 3), torch.arange(6) % 2
CE, SE, BCE = ri.losses.CrossEntropy(), ri.losses.SquaredError(), ri.losses.BinaryCrossEntropy()


def make(model=None, loss=CE, x=X, y=Y, **options) -> ri.Problem:
    model = mlp([3, 4, 2], bias=True, activation="tanh") if model is None else model
    return ri.Problem(model, loss, x, y, **options)


def net(*extra: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), *extra, nn.Linear(4, 2))


def spoiled(value: float, like: torch.Tensor = X) -> torch.Tensor:
    out = like.clone().float()
    out[1] = value
    return out


def nan_parameter() -> nn.Module:
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    return model


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x):
        return self.a(nn.functional.dropout(x, 0.5, training=True))


class Returns(nn.Module):
    """Applies a function to a linear layer's outputs."""

    def __init__(self, function) -> None:
        super().__init__()
        self.a, self.function = nn.Linear(3, 2), function

    def forward(self, x):
        return self.function(self.a(x))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.spare = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        return self.a(x)


class PartlyShared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


class TiedEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x))


def half_converted() -> nn.Module:
    model = net()
    model[1].double()
    return model


def solve(damping=0.1, vectors=None, **options):
    problem = make(**options)
    vectors = problem.parameters if vectors is None else vectors
    return ri.exact.GaussNewton(problem).solve(vectors, damping)


def respond(examples=(0,), epsilon=0.1, damping=0.1, **options):
    return ri.exact.bregman_response(make(), examples, epsilon=epsilon, damping=damping, **options)


def query(measurement, model=None, loss=CE, y=Y):
    problem = make(model, loss, X, y)
    identity = ri.fast.Identity(problem)
    return ri.influence(problem, X, y, curvature=identity, damping=1.0, measurement=measurement)


def tokens(count: int):
    return torch.zeros(4, count, dtype=torch.long)


P = 4 * 4 + 2 * 5
TABLE = {
    # the model
    "no module": (lambda: make(model=lambda x: x), "torch.nn.Module"),
    "NaN parameter": (lambda: make(nan_parameter()), "parameter '0.weight' has NaN"),
    "dropout in training": (lambda: make(net(nn.Dropout(0.5)).train()), "uses dropout: call model.eval"),
    "batch norm in training": (lambda: make(net(nn.BatchNorm1d(4))), "uses batch statistics"),
    "no running statistics": (
        lambda: make(net(nn.BatchNorm1d(4, track_running_stats=False)).eval()), "mixes the examples"),
    "dropout always on": (lambda: make(Noisy()), "two passes over the same inputs differ"),
    "mixed dtypes": (lambda: make(half_converted()), "parameters mix dtypes"),
    "returns a tuple": (lambda: make(Returns(lambda s: (s, s))), "must return a tensor"),
    "no example axis": (lambda: make(Returns(lambda s: s.sum())), "examples on their first axis"),
    "mixes examples": (lambda: make(Returns(lambda s: s - s.mean(0))), "other examples of its batch"),
    "outputs infinite": (lambda: make(Returns(lambda s: s / 0)), "outputs have NaN or infinite"),
    "wrong input width": (lambda: make(x=torch.ones(6, 5)), "failed on its first examples"),
    # the layers
    "nothing to track": (lambda: make(nn.Tanh(), SE, X, X), "no layer that can be tracked"),
    "unsupported layer": (
        lambda: make(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), layers=["1"]),
        r"'1' \(LayerNorm\) cannot be tracked"),
    "pattern too wide": (
        lambda: make(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), layers=["*"]),
        "also matches \\['1'\\]"),
    "unknown layer": (lambda: make(layers=["head"]), "no layer is named 'head'. Available"),
    "no layers": (lambda: make(layers=[]), "layers is empty"),
    "layers a string": (lambda: make(layers="0"), "must be a list"),
    "layer never called": (lambda: make(Unused()), r"\['spare'\] are tracked but .* never calls"),
    "partly shared": (lambda: make(PartlyShared(), SE, X, X), "share a parameter but not all"),
    "tied embedding": (lambda: make(TiedEmbedding(), CE, tokens(2), tokens(2)), "'embedding' .* share"),
    # the data
    "NaN input": (lambda: make(x=spoiled(float("nan"))), r"inputs\[0\] has NaN"),
    "infinite target": (lambda: make(nn.Linear(3, 3), SE, X, spoiled(float("inf"))), "targets has NaN"),
    "empty": (lambda: make(x=X[:0], y=Y[:0]), "is empty"),
    "lengths differ": (lambda: make(y=Y[:4]), "differ in length: .* 6 examples, targets 4"),
    "scalar input": (lambda: make(x=torch.ones(())), "is a scalar"),
    "complex input": (lambda: make(x=X.to(torch.complex64)), "is complex"),
    "other device": (lambda: make(x=X.to("meta")), "is on meta but the model is on cpu"),
    "inputs no tensor": (lambda: make(x=[[1.0, 2.0, 3.0]]), "inputs must be a tensor"),
    "targets no tensor": (lambda: make(y=[0, 1, 0, 1, 0, 1]), "targets must be a tensor"),
    "inputs of two dtypes": (
        lambda: make(x=(X, X.double())), "inputs mix dtypes"),
    "inputs without targets": (lambda: make().gradients(X), "give both or neither"),
    # losses and targets
    "no loss": (lambda: make(loss=nn.CrossEntropyLoss()), "one of refimpl.losses"),
    "float labels": (lambda: make(y=Y.float()), "integer class labels, got torch.float"),
    "label out of range": (lambda: make(y=Y + 5), r"labels must lie in \[0, 2\)"),
    "labels of a wrong shape": (lambda: make(y=Y[:, None]), "one label per token"),
    "integer targets": (lambda: make(nn.Linear(3, 3), SE, X, X.long()), "floating-point targets"),
    "targets of a wrong shape": (lambda: make(nn.Linear(3, 2), SE, X, X), "outputs' shape"),
    "no probability": (lambda: make(nn.Linear(3, 3), BCE, X, 2 * X), r"targets in \[0, 1\]"),
    "smoothing of one": (lambda: ri.losses.CrossEntropy(label_smoothing=1.0), "label_smoothing must"),
    "negative class weight": (
        lambda: ri.losses.CrossEntropy(weight=torch.tensor([1.0, -1.0])), "finite and >= 0"),
    "too few class weights": (
        lambda: make(loss=ri.losses.CrossEntropy(weight=torch.ones(3))), r"must have shape \(2,\)"),
    "negative pos_weight": (lambda: ri.losses.BinaryCrossEntropy(pos_weight=-1.0), "pos_weight must"),
    "integer dtype": (lambda: make(dtype=torch.int64), "dtype must be torch.float64"),
    # solves
    "negative damping": (lambda: solve(-0.1), "finite number >= 0, got -0.1"),
    "NaN damping": (lambda: solve(float("nan")), "finite number >= 0"),
    "damping a bool": (lambda: solve(True), "damping must be a number"),
    "no damping on a singular matrix": (lambda: solve(0.0), "singular to working precision"),
    "short vector": (lambda: solve(vectors=torch.ones(3).double()), rf"P={P}\], got \(3,\)"),
    "vector of another dtype": (lambda: solve(vectors=torch.ones(P)), "must be torch.float64 on cpu"),
    "NaN vector": (lambda: solve(vectors=spoiled(float("nan"), torch.ones(P)).double()), "have NaN"),
    # options
    "unknown fisher": (lambda: ri.fast.KFAC(make(), fisher="true"), "fisher"),
    "no samples": (lambda: ri.fast.KFAC(make(), fisher="sampled", samples=0), "samples must be >= 1"),
    "unknown sharing": (lambda: ri.fast.EKFAC(make(), weight_sharing="both"), "weight_sharing"),
    "batches of nothing": (lambda: ri.fast.EKFAC(make(), batch_size=0), "batch_size must be >= 1"),
    "unknown measurement": (lambda: query("accuracy"), "unknown measurement 'accuracy'"),
    "vector measurement": (lambda: query(lambda f, y: f), "must return a scalar"),
    "logit of a regression": (
        lambda: query("logit", nn.Linear(3, 3), SE, X), "classification"),
    "response without damping": (lambda: respond(damping=0.0), "needs a damping > 0"),
    "response of nobody": (lambda: respond(examples=[]), "non-empty list"),
    "response of a stranger": (lambda: respond(examples=[6]), r"must lie in \[0, 6\)"),
    "infinite epsilon": (lambda: respond(epsilon=float("inf")), "epsilon must be finite"),
    "loose tolerance": (lambda: respond(tolerance=2.0), r"tolerance must lie in \(0, 1\)"),
}  # fmt: skip


def test_the_table_is_long_enough():
    assert len(TABLE) >= 25


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_with_a_clear_message(name):
    call, message = TABLE[name]
    with pytest.raises((ValueError, TypeError), match=f"{message}|Type-check error"):
        call()
