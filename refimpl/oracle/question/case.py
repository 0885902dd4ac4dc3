"""Case: one small trained model with its data, frozen, as arrays that any framework can read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from threading import get_ident
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.question.network import LayerSpec, Network
from refimpl.problem.layout import Block
from refimpl.problem.problem import Problem

__all__ = ["Array", "Case", "ContentKey"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A trained model, its training data, and queries, about which an implementation is asked.

    Arrays are read-only. The example loss is summed over tokens, J is its mean over examples, and a
    token whose label is `loss.ignore_index` counts nothing.

    Args:
        id: A slug that is never reused, "family/name".
        layers: The model as a plain list of layers; see `refimpl.oracle.question.network`.
        parameters: Every parameter by name.
        tracked: Names of the layers whose parameters count, in the order of the flat vector.
        inputs: Training inputs [N, ...]: real numbers, or integer tokens for an embedding.
        labels: Training labels or values [N, ...].
        query_inputs: Inputs of the queries [Q, ...].
        query_labels: Labels or values of the queries [Q, ...].
        loss: The loss.
        damping: lambda, absolute unless the conventions say otherwise.
        flags: What in this case exposes a bug; see `refimpl.oracle.vectors.flags`.
        conventions: Conventions of the answers.
        batch_size: Batch size for implementations that work in batches.
    """

    id: str
    layers: tuple[LayerSpec, ...]
    parameters: Mapping[str, Array]
    tracked: tuple[str, ...]
    inputs: Array
    labels: Array
    query_inputs: Array
    query_labels: Array
    loss: LossSpec
    damping: float
    flags: tuple[str, ...] = ()
    conventions: Conventions = field(default_factory=Conventions)
    batch_size: int = 4

    def __post_init__(self) -> None:
        for array in (*self.arrays.values(), *self.parameters.values()):
            array.setflags(write=False)

    @property
    def arrays(self) -> dict[str, Array]:
        """The data by name: inputs, labels, query_inputs, query_labels."""
        names = ("inputs", "labels", "query_inputs", "query_labels")
        return {name: getattr(self, name) for name in names}

    @property
    def family(self) -> str:
        """The id's part before the slash."""
        return self.id.partition("/")[0]

    @property
    def dtype(self) -> str:
        """Compute dtype of the implementation, as the conventions name it."""
        return self.conventions.dtype

    @property
    def token_mean(self) -> bool:
        """Whether the loss of an example is the mean over its counted tokens."""
        return self.conventions.loss_reduction == "token_mean"

    @property
    def num_examples(self) -> int:
        """N, the number of training examples."""
        return len(self.inputs)

    @cached_property
    def mask(self) -> Array:
        """Mask of the labels that count [N, *tokens]."""
        return self._counted(self.labels)

    @cached_property
    def query_mask(self) -> Array:
        """Mask of the queries' labels that count [Q, *tokens]."""
        return self._counted(self.query_labels)

    def _counted(self, labels: Array) -> Array:
        counted = self.problem.loss.counted(_torch(labels))
        if counted is None:  # values of outputs: every token counts
            return np.ones(labels.shape[: max(1, labels.ndim - 1)], dtype=bool)
        return counted.numpy()

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The matrices [W | b]: name, outputs, inputs (with the bias column), place in the vector."""
        return self.problem.layout.blocks

    @property
    def num_parameters(self) -> int:
        """P, the length of the flat vector in refimpl's own conventions."""
        return self.problem.num_parameters

    @cached_property
    def problem(self) -> Problem:
        """The case as a `Problem`, in float64."""
        return self.problem_in(torch.float64)

    def problem_in(self, dtype: torch.dtype) -> Problem:
        """The case as a `Problem`, which cases with the same model and training data share.

        Args:
            dtype: Compute dtype.
        """
        options = {
            "layers": self.layers,
            "tracked": self.tracked,
            "loss": vars(self.loss),
            "token_mean": self.token_mean,
        }
        data = {"inputs": self.inputs, "labels": self.labels}
        # Not for two threads at once: a pass puts hooks on the model.
        return _problem(ContentKey(_hash(options, self.parameters, data), self), dtype, get_ident())

    def torch_module(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        """Build the model, a new one at every call, in evaluation mode.

        Args:
            dtype: Dtype of its parameters.
        """
        parameters = {name: _torch(array).to(dtype) for name, array in self.parameters.items()}
        return Network(self.layers, parameters).eval()

    def dataset(self, dtype: torch.dtype = torch.float64) -> TensorDataset:
        """The training data as pairs (input, label).

        Args:
            dtype: Dtype of real inputs and targets; integers stay integers.
        """
        return TensorDataset(*(_cast(_torch(a), dtype) for a in (self.inputs, self.labels)))

    def queries(self, dtype: torch.dtype = torch.float64) -> TensorDataset:
        """The queries as pairs (input, label).

        Args:
            dtype: Dtype of real inputs and targets; integers stay integers.
        """
        pairs = (self.query_inputs, self.query_labels)
        return TensorDataset(*(_cast(_torch(a), dtype) for a in pairs))

    def loader(self, batch_size: int | None = None) -> DataLoader[tuple[Tensor, ...]]:
        """The training data in order, in batches.

        Args:
            batch_size: Examples a batch; default: the case's own, which leaves a short last batch.
        """
        return DataLoader(self.dataset(), batch_size=batch_size or self.batch_size)

    def but(self, **changed: Any) -> "Case":
        """The same case with some fields changed."""
        return replace(self, **changed)

    def batches(self, batch_size: int | None = None) -> Iterator[slice]:
        """Yield the batches of `loader` as slices of the examples.

        Args:
            batch_size: As for `loader`.
        """
        step = batch_size or self.batch_size
        for start in range(0, self.num_examples, step):
            yield slice(start, min(start + step, self.num_examples))

    @property
    def queries_key(self) -> "ContentKey":
        """The key of a cache that depends on the queries alone."""
        arrays = {"inputs": self.query_inputs, "labels": self.query_labels}
        return ContentKey(_hash({}, arrays), self)

    @property
    def content_key(self) -> "ContentKey":
        """The key of a cache that depends on all the contents."""
        return ContentKey(_hash(self.to_json(), self.parameters, self.arrays), self)

    def to_json(self) -> dict[str, Any]:
        """The case without its arrays, as JSON."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("parameters", *self.arrays):
            del plain[name]
        plain["loss"] = {k: v for k, v in vars(self.loss).items() if v is not None}
        plain["conventions"] = self.conventions.plain
        return plain

    @classmethod
    def from_json(
        cls, plain: Mapping[str, Any], parameters: Mapping[str, Array], arrays: Mapping[str, Array]
    ) -> "Case":
        """Read a case; the inverse of `to_json`.

        Args:
            plain: What `to_json` returned.
            parameters: `case.parameters`.
            arrays: `case.arrays`.
        """
        known: dict[str, Any] = dict(plain)
        loss: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in known.pop("loss").items()
        }
        data: dict[str, Any] = dict(arrays)
        return cls(
            loss=LossSpec(**loss),
            conventions=Conventions.of(known.pop("conventions")),
            layers=tuple(known.pop("layers")),
            tracked=tuple(known.pop("tracked")),
            flags=tuple(known.pop("flags")),
            parameters=parameters,
            **known,
            **data,
        )


@dataclass(frozen=True)
class ContentKey:
    """A case as the key of a cache: two cases of the same contents are equal, wherever they come from."""

    hash: str
    case: Case = field(compare=False)


def _hash(plain: Mapping[str, Any], *arrays: Mapping[str, Array]) -> str:
    content = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    for named in arrays:
        for name, array in sorted(named.items()):
            content.update(f"{name} {array.dtype} {array.shape}".encode())
            content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


@lru_cache(maxsize=512)
def _problem(key: ContentKey, dtype: torch.dtype, thread: int) -> Problem:
    del thread
    case = key.case
    return Problem(
        case.torch_module(),
        case.loss.build(case.token_mean),
        _torch(case.inputs),
        _torch(case.labels),
        layers=list(case.tracked),
        dtype=dtype,
    )


def _torch(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: torch warns of read-only memory


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
