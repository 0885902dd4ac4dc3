"""The base class of adapters that are written in torch: model, data, loss, and gradients by name."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import flatten, shapes, unflatten
from refimpl.oracle.subject.adapter import Adapter, Unsupported

__all__ = ["TorchAdapter", "grouped", "parameter_names"]

LossFunction = Callable[[Tensor, Tensor], Tensor]
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def grouped(case: Case, name: str) -> list[str]:
    """The blocks of a tracked module: one, or one for each group of a convolution.

    Args:
        case: The case.
        name: Name of the module.
    """
    return [block.name for block in case.blocks if block.layer == name]


def parameter_names(case: Case) -> list[str]:
    """The tracked parameters, weight before bias, in the order of the layers.

    Args:
        case: A case; where its convention for the bias is "none", biases are left out.
    """
    kinds = ("weight",) if case.conventions.bias == "none" else ("weight", "bias")
    names = [f"{name}.{kind}" for name in case.tracked for kind in kinds]
    return [name for name in names if name in case.parameters]


class TorchAdapter(Adapter):
    """An adapter with what torch's authors need of a case, all in the case's own conventions.

    Tensors are "named": a dict with a tensor [..., *parameter shape] for each tracked parameter, by its
    name in `model.named_parameters()`. A parameter that several modules share goes by its first name.
    """

    def model(self, case: Case) -> nn.Module:
        """Build the model in the compute dtype; only tracked parameters require a gradient.

        Args:
            case: The case; every call builds the model anew, in evaluation mode.
        """
        model = case.torch_module(_dtype(case)).requires_grad_(False)
        for name in parameter_names(case):
            model.get_parameter(name).requires_grad_()
        return model

    def training(self, case: Case) -> DataLoader[tuple[Tensor, ...]]:
        """The training data in order, in the case's batches, of which the last may be short.

        Args:
            case: The case, in whose compute dtype real numbers are; integers stay integers.
        """
        return _loader(case, case.dataset(_dtype(case)))

    def queries(self, case: Case) -> DataLoader[tuple[Tensor, ...]]:
        """The queries, as `training` gives the training data.

        Args:
            case: The case.
        """
        return _loader(case, case.queries(_dtype(case)))

    def loss(self, case: Case, reduction: str = "none") -> LossFunction:
        """The loss of (outputs [B, ...], labels [B, ...]), as the case and its conventions say.

        Args:
            case: The case: kind of loss, masks, weights; half or whole squares, sums or means of tokens.
            reduction: "none": each example's loss ℓ [B]; "sum" and "mean": over the batch; "share":
                the sum over N, so that batches of the training data add up to J, a short last one
                included. What `loss_reduction="example_mean"` differentiates is the share.

        Raises:
            ValueError: There is no such reduction.
            Unsupported: A mean over tokens of a squared error, which the conventions do not define.
        """
        reductions: dict[str, Callable[[Tensor], Tensor]] = {
            "none": lambda losses: losses,
            "sum": torch.sum,
            "mean": torch.mean,
            "share": lambda losses: losses.sum() / case.num_examples,
        }
        if reduction not in reductions:
            raise ValueError(f"reduction must be one of {list(reductions)}, got {reduction!r}")
        example_losses = _example_losses(case)
        return lambda outputs, labels: reductions[reduction](example_losses(outputs, labels))

    def blocks(self, case: Case, named: Mapping[str, Float[Tensor, "..."]]) -> dict[str, Array]:
        """Matrices [..., O, I] by layer of named tensors, the bias where the conventions have it.

        Args:
            case: The case.
            named: Gradients, say, [..., *parameter shape] by parameter.

        Raises:
            ValueError: A parameter is missing, unknown, or of another shape.
        """
        _require_names("parameters", named, parameter_names(case))
        matrices: dict[str, Array] = {}
        for name in case.tracked:
            weight = _array(case, named, f"{name}.weight")
            like = case.parameters[f"{name}.weight"]
            whole = weight.reshape(*weight.shape[: weight.ndim - like.ndim], len(like), -1)
            groups = grouped(case, name)
            column = None
            if f"{name}.bias" in named:
                column = _array(case, named, f"{name}.bias")[..., None]
                if case.conventions.bias == "last_column":
                    whole, column = np.concatenate([whole, column], axis=-1), None
            for g, (block, part) in enumerate(
                zip(groups, np.split(whole, len(groups), axis=-2), strict=True)
            ):
                matrices[block] = part
                if column is not None:
                    matrices[f"{block}.bias"] = np.split(column, len(groups), axis=-2)[g]
        return matrices

    def from_blocks(
        self, case: Case, matrices: Mapping[str, Array]
    ) -> dict[str, Float[Tensor, "..."]]:
        """Named tensors in the compute dtype; the inverse of `blocks`.

        Args:
            case: The case.
            matrices: A matrix [..., O, I] for each layer that the conventions know.

        Raises:
            ValueError: A layer is missing, unknown, or of another shape.
        """
        sizes = shapes(case, case.conventions)
        _require_names("layers", matrices, sizes)
        for layer, size in sizes.items():
            _require_shape(f"layer {layer!r}", matrices[layer].shape, size)
        named: dict[str, Tensor] = {}
        for name in case.tracked:
            groups = grouped(case, name)
            whole = np.concatenate([matrices[block] for block in groups], axis=-2)
            bias = None
            if f"{groups[0]}.bias" in matrices:
                bias = np.concatenate([matrices[f"{b}.bias"][..., 0] for b in groups], axis=-1)
            elif f"{name}.bias" in parameter_names(case):
                whole, bias = whole[..., :-1], whole[..., -1]
            shape = case.parameters[f"{name}.weight"].shape
            parts = {"weight": whole.reshape(*whole.shape[:-2], *shape), "bias": bias}
            named |= {
                f"{name}.{kind}": torch.from_numpy(np.array(part)).to(_dtype(case))
                for kind, part in parts.items()
                if part is not None
            }
        return named

    def vectors(self, case: Case, named: Mapping[str, Float[Tensor, "..."]]) -> Array:
        """Flat vectors [..., P] of named tensors.

        Args:
            case: The case, whose conventions order the entries.
            named: A tensor [..., *parameter shape] by parameter.
        """
        return flatten(self.blocks(case, named), case.conventions)

    def from_vectors(
        self, case: Case, vectors: Shaped[np.ndarray, "..."]
    ) -> dict[str, Float[Tensor, "..."]]:
        """Named tensors in the compute dtype of flat vectors [..., P]; the inverse of `vectors`.

        Args:
            case: The case, whose conventions order the entries.
            vectors: Flat vectors [..., P].

        Raises:
            ValueError: The vectors have another length.
        """
        length = sum(rows * columns for rows, columns in shapes(case, case.conventions).values())
        _require_shape("a flat vector", vectors.shape, (length,))
        return self.from_blocks(case, unflatten(vectors, case, case.conventions))


def _dtype(case: Case) -> torch.dtype:
    if case.dtype not in DTYPES:
        raise ValueError(f"TorchAdapter computes in {' or '.join(DTYPES)}, not in {case.dtype!r}")
    return DTYPES[case.dtype]


def _loader(case: Case, data: TensorDataset) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(data, batch_size=case.batch_size)


def _example_losses(case: Case) -> LossFunction:
    loss, kind = case.loss.build(case.token_mean), case.loss.kind
    if kind == "squared_error" and case.token_mean:
        raise Unsupported("a mean over tokens of a squared error is not among the conventions")
    if kind == "squared_error" and case.conventions.squared_error == "full":
        return lambda outputs, labels: 2 * loss.value(outputs, labels)
    if kind == "binary_cross_entropy" and case.token_mean:  # every token counts, outputs are summed
        return lambda outputs, labels: (
            loss.value(outputs, labels) / np.prod(labels.shape[1:-1], dtype=int).item()
        )
    return loss.value


def _require_names(
    what: str, given: Mapping[str, object], known: Mapping[str, object] | list[str]
) -> None:
    missing = [name for name in known if name not in given]
    unknown = [name for name in given if name not in known]
    if missing or unknown:
        raise ValueError(
            f"{what} must be {list(known)}: missing are {missing}, unknown are {unknown}"
        )


def _require_shape(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape[max(0, len(shape) - len(expected)) :]) != expected:
        sizes = ", ".join(map(str, expected))
        raise ValueError(f"{what} must have shape [..., {sizes}], got {list(shape)}")


def _array(case: Case, named: Mapping[str, Tensor], name: str) -> Array:
    tensor = named[name]
    _require_shape(f"parameter {name!r}", tuple(tensor.shape), case.parameters[name].shape)
    return tensor.detach().cpu().numpy()
