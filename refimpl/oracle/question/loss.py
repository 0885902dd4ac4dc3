"""The loss of a case, as plain data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from refimpl.losses import BinaryCrossEntropy, CrossEntropy, Loss, SquaredError
from refimpl.oracle.question.token_mean import TokenMean

__all__ = ["LossSpec"]


@dataclass(frozen=True)
class LossSpec:
    """A loss and its options, which docs/conventions.md explains.

    Args:
        kind: "cross_entropy", "squared_error" or "binary_cross_entropy".
        ignore_index: Label of tokens that count nothing, for cross-entropy.
        class_weight: Weight per class, for cross-entropy.
        label_smoothing: For cross-entropy.
        pos_weight: Weight of positives per output, for binary cross-entropy.
    """

    kind: str
    ignore_index: int = -100
    class_weight: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    pos_weight: tuple[float, ...] | None = None

    def build(self, token_mean: bool = False) -> Loss:
        """The loss of refimpl.losses.

        Args:
            token_mean: Whether a cross-entropy is a mean over tokens instead of their sum.
        """
        if self.kind == "squared_error":
            return SquaredError()
        if self.kind == "binary_cross_entropy":
            return BinaryCrossEntropy(pos_weight=_tensor(self.pos_weight))
        kind = TokenMean if token_mean else CrossEntropy
        return kind(self.ignore_index, _tensor(self.class_weight), self.label_smoothing)


def _tensor(values: tuple[float, ...] | None) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float64)
