"""Problems that are refused: each a call, and what its error says."""

import torch
from strategies import mlp
from torch import nn

import refimpl as ri
from refimpl.problem.layers.table import layer_of

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


def tokens(count: int):
    return torch.zeros(4, count, dtype=torch.long)


normed = nn.utils.parametrizations.weight_norm
dropped, always = nn.functional.dropout, {"p": 0.5, "training": True}
P = 4 * 4 + 2 * 5  # of the model that `make` makes
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
    "labels true and false": (lambda: make(y=Y.bool()), "needs integer class labels, got torch.bool"),
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
}
