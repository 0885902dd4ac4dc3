"""A model as a plain list of layers, so that any framework can build it; and as a torch module.

Each layer is a mapping with an "op" and its options; parameters stand apart, by name. The ops:

| op | options | what it does |
| --- | --- | --- |
| linear | name, bias, like | W a + b on the last axis; `like`: shares the parameters of that layer |
| call | name | calls the layer of that name again |
| conv2d | name, bias, stride, padding, padding_mode, dilation, groups | as torch's |
| tanh, relu, gelu, softplus, identity | – | elementwise; gelu is the exact one |
| flatten | – | all axes but the first as one |
| pool | axes | mean over these axes |
| mix | – | tokens: x_t becomes the mean of x_1 .. x_t |
| embedding | name | rows of a table at integer inputs |
| positions | name | adds a table [T, D] to tokens |
| norm | name | layer norm with weight and bias, epsilon 1e-5 |
| attention | name, heads | causal; parameters name.q, .k, .v, .o [D, D], no bias |
| residual | body | x + body(x), body again a list of layers |
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LayerSpec", "Network", "layer_named", "linear_names"]

LayerSpec = Mapping[str, Any]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "identity": lambda x: x,
}


class Network(nn.Module):
    """The torch module of a list of layers; `linear` and `conv2d` are modules of their own name.

    Args:
        layers: The list.
        parameters: Every parameter by name: "name.weight" and "name.bias" of linear, conv2d and norm,
            "name.weight" of embedding and positions, "name.q" and so on of attention.

    Raises:
        ValueError: An op that there is not, or a parameter that is missing.
    """

    def __init__(
        self, layers: Sequence[LayerSpec], parameters: Mapping[str, Shaped[Tensor, "..."]]
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self._make(self.layers, parameters)

    def _make(self, layers: Sequence[LayerSpec], parameters: Mapping[str, Tensor]) -> None:
        for layer in layers:
            op, name = layer["op"], layer.get("name", "")
            if op == "residual":
                self._make(layer["body"], parameters)
            elif op == "linear":
                self.add_module(name, self._linear(layer, parameters))
            elif op == "conv2d":
                self.add_module(name, _conv2d(layer, parameters))
            elif op == "attention":
                parts = {k: nn.Parameter(_get(parameters, f"{name}.{k}")) for k in "qkvo"}
                self.add_module(name, nn.ParameterDict(parts))
            elif op in ("embedding", "positions", "norm"):
                kinds = ("weight", "bias") if op == "norm" else ("weight",)
                parts = {k: nn.Parameter(_get(parameters, f"{name}.{k}")) for k in kinds}
                self.add_module(name, nn.ParameterDict(parts))
            elif op not in (*ACTIVATIONS, "call", "flatten", "pool", "mix"):
                raise ValueError(
                    f"there is no op {op!r}; see refimpl/oracle/question/network.py for those that are"
                )

    def _linear(self, layer: LayerSpec, parameters: Mapping[str, Tensor]) -> nn.Linear:
        if "like" in layer:
            twin: Any = self.get_submodule(layer["like"])
            return _linear_module(twin.weight, twin.bias if layer["bias"] else None)
        bias = _get(parameters, f"{layer['name']}.bias") if layer["bias"] else None
        return _linear_module(
            nn.Parameter(_get(parameters, f"{layer['name']}.weight")),
            bias if bias is None else nn.Parameter(bias),
        )

    def forward(self, x: Shaped[Tensor, "N ..."]) -> Shaped[Tensor, "N ..."]:
        """Outputs [N, *tokens, C]."""
        return self._run(self.layers, x)

    def _run(self, layers: Sequence[LayerSpec], x: Tensor) -> Tensor:
        for layer in layers:
            x = self._step(layer, x)
        return x

    def _step(self, layer: LayerSpec, x: Tensor) -> Tensor:
        op = layer["op"]
        if op in ACTIVATIONS:
            return ACTIVATIONS[op](x)
        if op in ("linear", "conv2d", "call"):
            return self.get_submodule(layer["name"])(x)
        if op == "flatten":
            return x.flatten(1)
        if op == "pool":
            return x.mean(dim=tuple(layer["axes"]))
        if op == "mix":
            weights = torch.ones(x.shape[-2], x.shape[-2], dtype=x.dtype, device=x.device).tril()
            return (weights / weights.sum(dim=1, keepdim=True)) @ x
        if op == "residual":
            return x + self._run(layer["body"], x)
        table: Any = self.get_submodule(layer["name"])
        if op == "embedding":
            return table["weight"][x]
        if op == "positions":
            return x + table["weight"][: x.shape[-2]]
        if op == "norm":
            return F.layer_norm(x, x.shape[-1:], table["weight"], table["bias"], 1e-5)
        return _attention(x, table, layer["heads"])


def _attention(x: Tensor, matrices: Any, heads: int) -> Tensor:
    """Causal attention: softmax(Q K^T / sqrt(d)) V O^T, written out."""
    q, k, v = ((x @ matrices[n].T).unflatten(-1, (heads, -1)).transpose(1, 2) for n in "qkv")
    scores = q @ k.mT / q.shape[-1] ** 0.5
    t = x.shape[-2]
    future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2) @ matrices["o"].T


def _conv2d(layer: LayerSpec, parameters: Mapping[str, Tensor]) -> nn.Conv2d:
    weight = _get(parameters, f"{layer['name']}.weight")
    groups = layer.get("groups", 1)
    module: Any = nn.utils.skip_init(
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=_pair(layer, "stride", 1),
        padding=_pair(layer, "padding", 0),
        padding_mode=layer.get("padding_mode", "zeros"),
        dilation=_pair(layer, "dilation", 1),
        groups=groups,
        bias=layer["bias"],
    )
    module.weight = nn.Parameter(weight)
    if layer["bias"]:
        module.bias = nn.Parameter(_get(parameters, f"{layer['name']}.bias"))
    return module


def _pair(layer: LayerSpec, option: str, default: int) -> Any:
    value = layer.get(option, default)
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples


def _linear_module(
    weight: Float[nn.Parameter, "O I"], bias: Float[nn.Parameter, "O"] | None
) -> nn.Linear:
    """A linear layer of given parameters, without the random ones that its own constructor draws.

    Those cost more than all else that a small network does, and would move the author's generator.

    Args:
        weight: W [O, I].
        bias: b [O], or None.
    """
    module = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(module)
    module.out_features, module.in_features = weight.shape
    module.weight = weight
    module.register_parameter("bias", bias)
    return module


def _get(parameters: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in parameters:
        raise ValueError(f"parameter {name!r} is missing among {sorted(parameters)}")
    return parameters[name].clone()


def layer_named(layers: Sequence[LayerSpec], name: str) -> LayerSpec:
    """The layer of a name, and not a call of it.

    Args:
        layers: The list of layers.
        name: The name.

    Raises:
        ValueError: There is none.
    """
    for layer in _flattened(layers):
        if layer.get("name") == name and layer["op"] != "call":
            return layer
    raise ValueError(f"there is no layer {name!r}")


def _flattened(layers: Sequence[LayerSpec]) -> Iterator[LayerSpec]:
    for layer in layers:
        if layer["op"] == "residual":
            yield from _flattened(layer["body"])
        else:
            yield layer


def linear_names(layers: Sequence[LayerSpec]) -> list[str]:
    """Names of the linear and conv2d layers, in order, those that share parameters left out.

    Args:
        layers: The list of layers.
    """
    return [
        layer["name"]
        for layer in _flattened(layers)
        if layer["op"] in ("linear", "conv2d") and "like" not in layer
    ]
