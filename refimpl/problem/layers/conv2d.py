"""Conv2d: one matrix a group, which multiplies the patches of the image."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refimpl.problem.layers.layer import Layer
from refimpl.problem.layers.table import register_layer

__all__ = ["Conv2d"]


@register_layer(nn.Conv2d)
class Conv2d(Layer):
    """torch.nn.Conv2d as a map of patches, one row a place (Grosse & Martens 2016, section 2.2).

    A grouped convolution is G maps side by side, each of its own channels.

    Args:
        module: The convolution, whose padding, stride and dilation make the patches.
    """

    feature_axes = 3

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__(module)
        self.groups = module.groups
        self.padding: list[int] = module._reversed_padding_repeated_twice
        self.padding_mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        self.kernel_size, self.stride, self.dilation = (
            module.kernel_size,
            module.stride,
            module.dilation,
        )

    def input_rows(self, a: Float[Tensor, "B channels H W"]) -> Float[Tensor, "B G R J"]:
        """The patch of the group's channels that each place of the output sees."""
        padded = F.pad(a, self.padding, mode=self.padding_mode)
        columns = F.unfold(padded, self.kernel_size, dilation=self.dilation, stride=self.stride)
        return columns.unflatten(1, (self.groups, -1)).mT

    def output_rows(
        self, s: Float[Tensor, "K channels H W"], a: Float[Tensor, "B channels_in H_in W_in"]
    ) -> Float[Tensor, "K G R O"]:
        """The group's channels of each place of the output."""
        del a
        return s.flatten(2).unflatten(1, (self.groups, -1)).mT
