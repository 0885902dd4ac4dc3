"""What the adapters need to know of a case's model."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from refimpl.oracle.question.case import Case
from refimpl.oracle.question.network import LayerSpec

__all__ = ["calls", "gradients", "linear_in_parameters", "tied", "walk"]


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


def gradients(
    case: Case, loader: DataLoader[tuple[Tensor, ...]]
) -> dict[str, Float[Tensor, "n ..."]]:
    """Gradients [n, *shape] of single examples' losses by tracked parameter, by torch alone.

    Args:
        case: The case.
        loader: Batches of inputs and labels.
    """
    module, loss = case.torch_module(), case.loss.build()
    names = [n for n in case.parameters if n.rpartition(".")[0] in case.tracked]
    chosen = [module.get_parameter(n) for n in names]
    rows: list[tuple[Tensor, ...]] = []
    for x, y in DataLoader(loader.dataset, batch_size=1):
        rows.append(torch.autograd.grad(loss.value(module(x), y).sum(), chosen))
    return {n: torch.stack([r[i] for r in rows]) for i, n in enumerate(names)}
