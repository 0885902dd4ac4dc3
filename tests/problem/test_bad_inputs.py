"""One table: what is refused, with which kind of error, and what the message says.

Users run refimpl without the tests' beartype hook, which may object to a wrong type before our own
check does. So the table's errors are those of a process without it; under it, every row must still
be refused.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from strategies import mlp
from torch import nn

import refimpl as ri
from refimpl.problem.layers.table import layer_of
from refimpl.rows.sweeps import sweeps

X, Y = torch.eye(6, 3), torch.arange(6) % 2
CE, SE, BCE = ri.losses.CrossEntropy(), ri.losses.SquaredError(), ri.losses.BinaryCrossEntropy()
NAN, INF = float("nan"), float("inf")


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
        model[0].weight[0, 0] = NAN
    return model


class Returns(nn.Module):
    """A function before and a function after a linear layer."""

    def __init__(self, after=lambda s: s, before=lambda x: x) -> None:
        super().__init__()
        self.a, self.before, self.after = nn.Linear(3, 2), before, after

    def forward(self, x):
        return self.after(self.a(self.before(x)))


class Unused(Returns):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 2)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.mix(x, x, x)[0]


class Shared(nn.Module):
    """A head that has its weight from a layer with another use, or only its weight."""

    def __init__(self, first: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.first, self.head = first, head
        self.head.weight = self.first.weight

    def forward(self, x):
        return self.head(self.first(x))


class Transposed(nn.Module):
    """Stores its weight as [inputs, outputs], square."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3) + 0.1 * torch.arange(9.0).reshape(3, 3))

    def forward(self, x):
        return x @ self.weight


def registered(**methods) -> ri.Problem:
    """A problem of a Transposed whose layer has the given methods."""
    layer = type("TransposedLayer", (type(layer_of(nn.Linear(1, 1))),), methods)
    ri.register_layer(Transposed)(layer)
    return make(Transposed(), SE, X, X)


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


def lissa(**options):
    settings = {"depth": 2, "batch_size": 3, "generator": torch.Generator()} | options
    return ri.fast.LiSSA(make(), **settings)


def query(measurement="loss", model=None, loss=CE, x=X, y=Y, queries=None, **options):
    problem = make(model, loss, x, y)
    identity = ri.fast.Identity(problem)
    return ri.influence(
        problem, *(queries or (x, y)), curvature=identity, damping=1.0, measurement=measurement, **options
    )  # fmt: skip


def tokens(count: int):
    return torch.zeros(4, count, dtype=torch.long)


normed = nn.utils.parametrizations.weight_norm
dropped, always = nn.functional.dropout, {"p": 0.5, "training": True}
P = 4 * 4 + 2 * 5
VALUE_ERRORS = {
    # the model
    "NaN parameter": (lambda: make(nan_parameter()), "parameter '0.weight' has NaN"),
    "complex parameter": (lambda: make(nn.Linear(3, 2, dtype=torch.complex64)), "'weight' is complex"),
    "lazy parameter": (lambda: make(nn.LazyLinear(2)), "'weight' of a lazy module has no shape yet"),
    "dropout in training": (lambda: make(net(nn.Dropout(0.5)).train()), "uses dropout: call model.eval"),
    "recurrent dropout": (lambda: make(nn.LSTM(3, 2, 2, dropout=0.1).train()), r"\(LSTM\) uses dropout"),
    "batch norm in training": (lambda: make(net(nn.BatchNorm1d(4))), "uses batch statistics"),
    "no running statistics": (
        lambda: make(net(nn.BatchNorm1d(4, track_running_stats=False)).eval()), "mixes the examples"),
    "dropout always on": (lambda: make(Returns(lambda s: dropped(s, **always))), "two passes .* differ"),
    "mixed dtypes": (lambda: make(half_converted()), "parameters mix dtypes"),
    "two devices": (lambda: make(net(nn.Linear(4, 4, device="meta"))), "over devices .*'meta'"),
    "returns a tuple": (lambda: make(Returns(lambda s: (s, s))), "must return a tensor"),
    "no example axis": (lambda: make(Returns(lambda s: s.sum(0))), "examples on their first axis"),
    "empty outputs": (lambda: make(Returns(lambda s: s[:, :0])), r"outputs are empty: .* \(4, 0\)"),
    "mixes examples": (lambda: make(Returns(lambda s: s - s.mean(0))), "other examples of its batch"),
    "mixes them causally": (lambda: make(Returns(lambda s: s.cumsum(0))), "other examples of its batch"),
    "outputs infinite": (lambda: make(Returns(lambda s: s / 0)), "outputs have NaN or infinite"),
    "outputs rounded": (lambda: make(Returns(lambda s: s.float())), "returns torch.float32 although"),
    "inputs overwritten": (lambda: make(Returns(before=lambda x: x.relu_())), "changes its inputs in pl"),
    "wrong input width": (lambda: make(x=torch.ones(6, 5)), r"failed on its first .* \(4, 5\)"),
    # the layers
    "nothing to track": (lambda: make(nn.Tanh(), SE, X, X), "no layer that can be tracked"),
    "unsupported layer": (lambda: make(net(nn.LayerNorm(4)), layers=["1"]), r"'1' \(LayerNorm\) cannot"),
    "parametrized layer": (lambda: make(net(normed(nn.Linear(4, 4))), layers=["1"]), "cannot be tracked"),
    "pattern too wide": (lambda: make(net(nn.LayerNorm(4)), layers=["*"]), r"also matches \['1'\]"),
    "unknown layer": (lambda: make(layers=["head"]), "no layer is named 'head'. Available"),
    "no layers": (lambda: make(layers=[]), "layers is empty"),
    "layer never called": (lambda: make(Unused()), r"\['spare'\] are tracked but .* never calls"),
    "attention's projection": (
        lambda: make(Attention(), SE, torch.ones(2, 3, 4), torch.ones(2, 3, 4)), "'mix.out_proj'.* never"),
    "partly shared": (lambda: make(Shared(nn.Linear(3, 3), nn.Linear(3, 3)), SE, X, X), "share a param"),
    "tied embedding": (
        lambda: make(Shared(nn.Embedding(5, 3), nn.Linear(3, 5)), CE, tokens(2), tokens(2)),
        r"'head' and 'first' \(Embedding\) share|'first' \(Embedding\) share"),
    "weight that does not come back": (
        lambda: registered(matrix=lambda self, W: W.mT.unsqueeze(-3)),
        "TransposedLayer: `parameters` is not the inverse of `matrices` .'weight' comes back"),
    "no matrices": (
        lambda: registered(matrix=lambda self, W: W.mT), r"Layer.matrices must give \[..., G, O, I"),
    "weight taken as it is stored": (  # the same matrix for the layout, another one for the rows
        lambda: ri.fast.KFAC(registered()), r"layer '' is not sum_r g_r a_r"),
    # the data
    "NaN input": (lambda: make(x=spoiled(NAN)), "inputs has NaN"),
    "infinite second input": (lambda: make(x=(X, spoiled(INF))), r"inputs\[1\] has NaN or infinite"),
    "infinite target": (lambda: make(nn.Linear(3, 3), SE, X, spoiled(INF)), "targets has NaN"),
    "empty": (lambda: make(x=X[:0], y=Y[:0]), "targets is empty"),
    "lengths differ": (lambda: make(x={"a": X}, y=Y[:4]), r"inputs\['a'\] has 6 examples, targets 4"),
    "scalar input": (lambda: make(x=torch.ones(())), "inputs is a scalar"),
    "scalar target": (lambda: make(y=torch.ones(())), "targets is a scalar"),
    "complex input": (lambda: make(x=X.to(torch.complex64)), "is complex"),
    "other device": (lambda: make(x=X.to("meta")), "is on meta but the model is on cpu"),
    "inputs of two dtypes": (lambda: make(x=(X, X.double())), "inputs mix dtypes"),
    "inputs without targets": (lambda: make().gradients(X), "give both or neither"),
    "parameters of another dtype": (
        lambda: make().outputs(parameters=make().parameters.float()), "parameters must be torch.float64"),
    "too few parameters": (lambda: make().outputs(parameters=torch.ones(3).double()), f"length P={P}"),
    # losses and targets
    "float labels": (lambda: make(y=Y.float()), "integer class labels, got torch.float"),
    "label out of range": (lambda: make(y=Y + 5), r"labels must lie in \[0, 2\) .* got 5"),
    "negative label": (lambda: make(y=Y - 7), r"labels must lie in \[0, 2\) .* got -7"),
    "labels of a wrong shape": (lambda: make(y=Y[:, None]), "one label per token"),
    "class axis missing": (lambda: make(Returns(lambda s: s[:, 0])), "class axis last"),
    "integer targets": (lambda: make(nn.Linear(3, 3), SE, X, X.long()), "floating-point targets"),
    "targets of a wrong shape": (lambda: make(nn.Linear(3, 2), SE, X, X), "outputs' shape"),
    "no probability": (lambda: make(nn.Linear(3, 3), BCE, X, 2 * X), r"targets in \[0, 1\]"),
    "query's label out of range": (lambda: query(queries=(X, Y + 5)), r"labels must lie in \[0, 2\)"),
    "query's targets broadcast": (
        lambda: query("loss", nn.Linear(3, 1), SE, X, X[:, :1], (X, X[:, 0])), r"\(6, 1\), got \(6,\)"),
    "query of another width": (lambda: query(queries=(X[:, :2], Y)), "the model failed on its first"),
    "smoothing of one": (lambda: ri.losses.CrossEntropy(label_smoothing=1.0), "label_smoothing must"),
    "negative class weight": (
        lambda: ri.losses.CrossEntropy(weight=torch.tensor([1.0, -1.0])), "finite and >= 0"),
    "too few class weights": (
        lambda: make(loss=ri.losses.CrossEntropy(weight=torch.ones(3))), r"must have shape \(2,\)"),
    "negative pos_weight": (lambda: ri.losses.BinaryCrossEntropy(pos_weight=-1.0), "pos_weight must"),
    "a pos_weight per example": (
        lambda: make(Returns(lambda s: s[:, 0]), ri.losses.BinaryCrossEntropy(torch.ones(6)), X, X[:, 0]),
        r"pos_weight must be a number or have shape \(\), got \(6,\)"),
    "integer dtype": (lambda: make(dtype=torch.int64), "dtype must be torch.float64"),
    # solves
    "negative damping": (lambda: solve(-0.1), "finite number >= 0, got -0.1"),
    "NaN damping": (lambda: solve(NAN), "finite number >= 0"),
    "no damping on a singular matrix": (lambda: solve(0.0), "singular to working precision"),
    "short vector": (lambda: solve(vectors=torch.ones(3).double()), rf"P={P}\], got \(3,\)"),
    "vector of another dtype": (lambda: solve(vectors=torch.ones(P)), "must be torch.float64 on cpu"),
    "NaN vector": (lambda: solve(vectors=spoiled(NAN, torch.ones(P)).double()), "vectors have NaN"),
    # options
    "unknown fisher": (lambda: ri.fast.KFAC(make(), fisher="true"), "fisher must be one of"),
    "no samples": (lambda: ri.fast.KFAC(make(), fisher="sampled", samples=0), "samples must be >= 1"),
    "negative samples": (lambda: ri.fast.KFAC(make(), fisher="sampled", samples=-1), "samples must be"),
    "unknown sharing": (lambda: ri.fast.EKFAC(make(), weight_sharing="both"), "weight_sharing must be"),
    "batches of nothing": (lambda: ri.fast.EKFAC(make(), batch_size=0), "batch_size must be >= 1"),
    "an eigenbasis alone": (
        lambda: ri.fast.EKFAC(make(), eigen=ri.fast.EKFAC(make()).eigen), "eigen without its factors"
    ),
    "LiSSA without a step": (lambda: lissa(depth=0), "depth and repeats must be >= 1, got 0 and 1"),
    "LiSSA without a repeat": (lambda: lissa(repeats=0), "depth and repeats must be >= 1"),
    "LiSSA's batch of nobody": (lambda: lissa(batch_size=0), r"batch_size must lie in \[1, 6\]"),
    "LiSSA's batch of strangers": (lambda: lissa(batch_size=7), "the number of examples; got 7"),
    "LiSSA of another matrix": (lambda: lissa(matrix=torch.eye(2)), r"matrix must be \[P, P\], P ="),
    "LiSSA of a negative scale": (lambda: lissa(scale=-1.0), "scale must be a finite number > 0"),
    "LiSSA of scale zero": (lambda: lissa(scale=0.0), "scale must be a finite number > 0, got 0"),
    "LiSSA of no scale": (lambda: lissa(scale=NAN), "scale must be a finite number > 0, got nan"),
    "LiSSA that tolerates all": (lambda: lissa(tolerance=1.0), r"tolerance must lie in \(0, 1\)"),
    "LiSSA without damping": (
        lambda: lissa().solve(torch.ones(P).double(), 0.0), "singular to working precision"),
    "unknown measurement": (lambda: query("accuracy"), "unknown measurement 'accuracy'"),
    "vector measurement": (lambda: query(lambda f, y: f), "must return a scalar"),
    "integer measurement": (lambda: query(lambda f, y: f.argmax()), "floating-point number, got"),
    "logit of a regression": (lambda: query("logit", nn.Linear(3, 3), SE, X, X), "'logit' needs a class"),
    "margin of a regression": (
        lambda: query("margin", nn.Linear(3, 3), SE, X, X), "'margin' needs a classification loss"),
    "margin of one class": (lambda: query("margin", nn.Linear(3, 1), y=0 * Y), "at least two classes"),
    "sampled without draws": (
        lambda: list(sweeps(make(), fisher="sampled")), "needs draws: see label_draws"),
    "candidate out of range": (lambda: query(candidates=torch.tensor([6])), "from 6 to 6"),
    "response without damping": (lambda: respond(damping=0.0), "needs a damping > 0"),
    "response of nobody": (lambda: respond(examples=[]), "non-empty list"),
    "response of a stranger": (lambda: respond(examples=[6]), r"must lie in \[0, 6\)"),
    "response of a half": (lambda: respond(examples=[0.5]), "non-empty list of indices"),
    "response of a mask": (lambda: respond(examples=torch.tensor([True])), "non-empty list of indices"),
    "response of bytes": (
        lambda: respond(examples=torch.ones(2, dtype=torch.uint8)), "non-empty list of indices"),
    "infinite epsilon": (lambda: respond(epsilon=INF), "epsilon must be finite"),
    "tolerance of one": (lambda: respond(tolerance=1.0), r"tolerance must lie in \(0, 1\)"),
    "labels true and false": (lambda: make(y=Y.bool()), "needs integer class labels, got torch.bool"),
    "loose tolerance": (lambda: respond(tolerance=2.0), r"tolerance must lie in \(0, 1\)"),
}  # fmt: skip
TYPE_ERRORS = {
    "registering no module": (lambda: ri.register_layer(3), "subclass of torch.nn.Module, got 3"),
    "registering no layer": (lambda: ri.register_layer(Transposed)(int), "subclass of Layer, got"),
    "no module": (lambda: make(model=lambda x: x), "torch.nn.Module, got function"),
    "no loss": (lambda: make(loss=nn.CrossEntropyLoss()), "one of refimpl.losses"),
    "layers a string": (lambda: make(layers="0"), "must be a list"),
    "layers a generator": (lambda: make(layers=(n for n in "02")), "must be a list"),
    "inputs a list of tensors": (lambda: make(x=[X]), r"tuple or dict of tensors.* 'list'"),
    "inputs with a None": (lambda: make(x=(X, None)), r"'inputs\[1\]': 'NoneType'"),
    "targets no tensor": (lambda: make(y=[0, 1, 0, 1, 0, 1]), "targets must be a tensor, got list"),
    "damping a bool": (lambda: solve(True), "damping must be a number, got bool"),
    "vectors no tensor": (
        lambda: solve(vectors=[1.0] * P),
        r"must be a tensor \[..., P\], got list",
    ),
    "candidates of floats": (
        lambda: query(candidates=torch.tensor([0.0])),
        "candidates must be a tensor of indices",
    ),
    "candidates with two axes": (
        lambda: query(candidates=torch.tensor([[0]])),
        "candidates must be a tensor of indices",
    ),
    "candidates a list": (
        lambda: query(candidates=[0]),
        "candidates must be a tensor of indices",
    ),
    "candidates a mask": (
        lambda: query(candidates=Y == 1),
        "candidates must be a tensor of indices",
    ),
    "candidates a mask of bytes": (  # torch would take it for a mask
        lambda: query(candidates=torch.ones(6, dtype=torch.uint8)),
        "candidates must be a tensor of indices",
    ),
}
TABLE = {name: ("ValueError", *row) for name, row in VALUE_ERRORS.items()}
TABLE |= {name: ("TypeError", *row) for name, row in TYPE_ERRORS.items()}


def outcomes() -> dict[str, list[str]]:
    """What each row raises: the kind and the message."""
    refusals = {}
    for name, (_, call, _) in TABLE.items():
        try:
            refusals[name] = ["nothing", repr(call())]
        except Exception as error:
            refusals[name] = [type(error).__name__, str(error)]
    return refusals


@pytest.fixture(scope="module")
def without_the_hook() -> dict[str, list[str]]:
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parents[1]), str(Path(ri.__file__).parents[1])])
    run = subprocess.run(
        [sys.executable, str(here)], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_with_a_clear_message(name, without_the_hook):
    kind, call, message = TABLE[name]
    assert without_the_hook[name][0] == kind, without_the_hook[name]
    with pytest.raises(Exception, match=message):
        raise Exception(without_the_hook[name][1])
    with pytest.raises((ValueError, TypeError)):
        call()


def test_instance_norm_of_the_usual_kind_is_not_taken_for_batch_norm():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    assert make(model.train(), x=torch.randn(6, 1, 2, 2)).frozen == ()


if __name__ == "__main__":
    print(json.dumps(outcomes()))
