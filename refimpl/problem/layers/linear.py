"""Linear: one matrix that multiplies the row of every token."""

from jaxtyping import Float
from torch import Tensor, nn

from refimpl.problem.layers.layer import Layer
from refimpl.problem.layers.table import register_layer

__all__ = ["Linear"]


@register_layer(nn.Linear)
class Linear(Layer):
    """torch.nn.Linear: s = W a + b on the last axis, W [O, I] as it is stored."""

    by_token = True

    def input_rows(self, a: Float[Tensor, "B *tokens J"]) -> Float[Tensor, "B 1 R J"]:
        """One row a token."""
        return a.reshape(a.shape[0], 1, -1, a.shape[-1])

    def output_rows(
        self, s: Float[Tensor, "K *tokens O"], a: Float[Tensor, "B *tokens J"]
    ) -> Float[Tensor, "K 1 R O"]:
        """One row a token."""
        del a
        return s.reshape(s.shape[0], 1, -1, s.shape[-1])
