"""exp(x) - 1 - x without cancellation, nor in its derivatives."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["excess_exp"]

TERMS = 11  # x^2/2! ... x^12/12!: at |x| = 0.1 the first one left out is 3e-23 of the first


def excess_exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """exp(x) - 1 - x: Taylor's series where |x| < 0.1, to the roundoff of a term.

    Its derivatives are exp(x) - 1 and exp(x), which need no series: differentiating the series
    would take most of the time of a divergence.

    Args:
        x: Any numbers; beyond log(largest float) the result is infinite.
    """
    return _ExcessExp.apply(x)  # type: ignore[no-any-return]


class _ExcessExp(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        t = x.clamp(-0.1, 0.1)
        series = t / math.factorial(TERMS + 1)
        for k in range(TERMS, 2, -1):
            series = series.add_(1 / math.factorial(k)).mul_(t)
        series = series.add_(0.5).mul_(t).mul_(t)
        return torch.where(x.abs() < 0.1, series, torch.expm1(x).sub_(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:  # pyright: ignore
        return gradient * torch.expm1(ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:  # pyright: ignore
        return tangent * torch.expm1(ctx.saved_tensors[0])
