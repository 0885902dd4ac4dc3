"""A data set split into training examples and queries."""

from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor

__all__ = ["Split"]


@dataclass(frozen=True)
class Split:
    """Training examples and queries, examples first: pixels with a label, or tokens with the next."""

    inputs: Shaped[Tensor, "N ..."]
    targets: Int[Tensor, "N ..."] | Float[Tensor, "N ..."]
    query_inputs: Shaped[Tensor, "Q ..."]
    query_targets: Int[Tensor, "Q ..."] | Float[Tensor, "Q ..."]
