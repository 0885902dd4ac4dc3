"""The layers whose weights can be tracked, each seen as one matrix [W | b] acting on rows.

A Linear maps rows of its input; a Conv2d maps patches (Grosse & Martens 2016, section 2.2), one row
per output position. A grouped convolution is `groups` such maps side by side.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SUPPORTED", "groups_of", "input_rows", "is_supported", "output_rows"]

SUPPORTED = "torch.nn.Linear, torch.nn.Conv2d"


def is_supported(module: nn.Module) -> bool:
    """Whether a module computes exactly what a Linear or a Conv2d does (subclasses may not)."""
    forward = type(module).forward
    return forward is nn.Linear.forward or forward is nn.Conv2d.forward


def groups_of(module: nn.Module) -> int:
    """How many independent maps the layer holds side by side: the groups of a Conv2d, else 1."""
    return module.groups if isinstance(module, nn.Conv2d) else 1


def input_rows(
    module: nn.Module, a: Float[Tensor, "..."], examples: int
) -> Float[Tensor, "N G R I"]:
    """The rows that each of the layer's maps multiplies, with a last coordinate 1 where it has a bias.

    Args:
        module: A Linear or Conv2d.
        a: Its input; the leading axis holds the examples, or examples times something.
        examples: N.

    Returns:
        Rows [N, groups, positions, inputs of one map (bias included)].

    Raises:
        ValueError: The leading axis is not a multiple of N.
    """
    _check_leading_axis(a, examples)
    if isinstance(module, nn.Conv2d):
        rows = _patches(module, a)  # [N', G, R, I]
        folded = rows.reshape(examples, -1, *rows.shape[1:])
        rows = folded.transpose(1, 2).flatten(2, 3)
    else:
        rows = a.reshape(examples, 1, -1, a.shape[-1])
    if module.bias is not None:
        rows = torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)
    return rows


def output_rows(
    module: nn.Module, s: Float[Tensor, "..."], examples: int
) -> Float[Tensor, "N G R O"]:
    """Pre-activations, or gradients in them, in the rows of `input_rows`: [N, groups, positions, O].

    Args:
        module: A Linear or Conv2d.
        s: Its output, or a tensor of that shape.
        examples: N.
    """
    _check_leading_axis(s, examples)
    if isinstance(module, nn.Conv2d):
        positions = s.flatten(2).mT  # [N', R, G * O]
        split = positions.reshape(examples, -1, module.groups, s.shape[1] // module.groups)
        return split.transpose(1, 2)
    return s.reshape(examples, 1, -1, s.shape[-1])


def _patches(module: nn.Conv2d, a: Float[Tensor, "B channels H W"]) -> Float[Tensor, "B G R I"]:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    a = F.pad(a, module._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(a, module.kernel_size, dilation=module.dilation, stride=module.stride)
    return columns.reshape(a.shape[0], module.groups, -1, columns.shape[-1]).mT


def _check_leading_axis(tensor: Float[Tensor, "..."], examples: int) -> None:
    if tensor.ndim < 2 or tensor.shape[0] == 0 or tensor.shape[0] % examples != 0:
        raise ValueError(
            f"a tracked layer was called on a tensor {tuple(tensor.shape)} whose first axis is not "
            f"the {examples} examples: their gradients cannot be told apart. Call it with the "
            "batch axis first, or leave the layer out of `layers`"
        )
