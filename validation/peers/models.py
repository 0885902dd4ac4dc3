"""What the adapters need to know of a case's model."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.layout import unflatten
from refimpl.oracle.question.network import LayerSpec

__all__ = [
    "calls",
    "from_parameters",
    "gradients",
    "grouped",
    "linear_in_parameters",
    "names",
    "tied",
    "to_parameters",
    "walk",
]


def walk(layers: Sequence[LayerSpec]) -> Iterator[LayerSpec]:
    """Every layer, those within residual branches included.

    Args:
        layers: The list of layers.
    """
    for layer in layers:
        yield layer
        if layer["op"] == "residual":
            yield from walk(layer["body"])


def calls(case: Case) -> dict[str, int]:
    """How often the model calls each tracked module.

    Args:
        case: The case.
    """
    counts = dict.fromkeys(case.tracked, 0)
    for layer in walk(case.layers):
        if layer.get("name") in counts and layer["op"] in ("linear", "conv2d", "call"):
            counts[layer["name"]] += 1
    return counts


def tied(case: Case) -> bool:
    """Whether two modules share a parameter.

    Args:
        case: The case.
    """
    return any("like" in layer for layer in walk(case.layers))


def grouped(case: Case, name: str) -> list[str]:
    """The blocks of a module: one, or one for each group of a convolution.

    Args:
        case: The case.
        name: Of the module.
    """
    return [b.name for b in case.blocks if b.name == name or b.name.startswith(f"{name}[")]


def names(case: Case) -> list[str]:
    """The tracked parameters, weight before bias, in the order of the layers.

    Args:
        case: The case.
    """
    return [
        f"{name}.{kind}"
        for name in case.tracked
        for kind in ("weight", "bias")
        if f"{name}.{kind}" in case.parameters
    ]


def linear_in_parameters(case: Case) -> bool:
    """Whether outputs are linear in the tracked parameters, so that the Hessian is the GNH.

    Args:
        case: The case.
    """
    layers = list(walk(case.layers))
    if len(case.tracked) != 1 or any(layer["op"] == "residual" for layer in layers) or tied(case):
        return False
    places = [i for i, layer in enumerate(layers) if layer.get("name") == case.tracked[0]]
    after = {layer["op"] for layer in layers[places[0] + 1 :]}
    return len(places) == 1 and after <= {"linear", "conv2d", "identity", "flatten", "pool", "mix"}


def to_parameters(case: Case, vectors: Array, conventions: Conventions) -> dict[str, Tensor]:
    """Flat vectors [..., P] as tensors [..., *shape] by the names of the tracked parameters.

    Args:
        case: The case.
        vectors: Flat vectors.
        conventions: Those that the vectors are in; the bias must be tracked.
    """
    blocks = unflatten(vectors, case, conventions)
    tensors: dict[str, Tensor] = {}
    for name in case.tracked:
        weight = case.parameters[f"{name}.weight"]
        groups = grouped(case, name)
        whole = torch.cat([torch.from_numpy(np.array(blocks[b])) for b in groups], dim=-2)
        if f"{groups[0]}.bias" in blocks:
            parts = [torch.from_numpy(np.array(blocks[f"{b}.bias"]))[..., 0] for b in groups]
            tensors[f"{name}.bias"] = torch.cat(parts, dim=-1)
        elif f"{name}.bias" in case.parameters:
            whole, tensors[f"{name}.bias"] = whole[..., :-1], whole[..., -1]
        tensors[f"{name}.weight"] = whole.reshape(*whole.shape[:-2], *weight.shape)
    return tensors


def from_parameters(
    case: Case, tensors: Mapping[str, Tensor], conventions: Conventions
) -> dict[str, Array]:
    """Matrices [..., O, I] by block of tensors [..., *shape] by parameter; inverse of the above.

    Args:
        case: The case.
        tensors: By the names of the tracked parameters.
        conventions: Those that the matrices are wanted in.
    """
    matrices: dict[str, Array] = {}
    for name in case.tracked:
        weight = tensors[f"{name}.weight"].detach()
        like = case.parameters[f"{name}.weight"]
        whole = weight.reshape(*weight.shape[: weight.ndim - like.ndim], len(like), -1).numpy()
        bias = tensors.get(f"{name}.bias")
        column = None if bias is None else bias.detach().numpy()[..., None]
        if column is not None and conventions.bias == "last_column":
            whole, column = np.concatenate([whole, column], axis=-1), None
        names = grouped(case, name)
        for g, (block, part) in enumerate(
            zip(names, np.split(whole, len(names), axis=-2), strict=True)
        ):
            matrices[block] = part
            if column is not None and conventions.bias == "separate":
                matrices[f"{block}.bias"] = np.split(column, len(names), axis=-2)[g]
    return matrices


def gradients(case: Case, data: TensorDataset) -> dict[str, Tensor]:
    """Gradients [n, *shape] of single examples' losses by tracked parameter, by torch alone.

    Args:
        case: The case.
        data: Pairs (input, label).
    """
    module, loss = case.torch_module(), case.loss.build()
    names = [n for n in case.parameters if n.rpartition(".")[0] in case.tracked]
    chosen = [module.get_parameter(n) for n in names]
    rows: list[tuple[Tensor, ...]] = []
    for x, y in DataLoader(data, batch_size=1):
        rows.append(torch.autograd.grad(loss.value(module(x), y).sum(), chosen))
    return {n: torch.stack([r[i] for r in rows]) for i, n in enumerate(names)}
