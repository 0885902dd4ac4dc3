"""Values and gradients of one function at many places at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils import _pytree as pytree

from refimpl.losses.graph import recorded

__all__ = ["values_and_gradients"]


def values_and_gradients(
    f: Callable[..., Float[Tensor, ""]],
    theta: Float[Tensor, "K *P"],
    *arguments: Shaped[Tensor, "K ..."] | object,
    chunk: int,
) -> tuple[Float[Tensor, " K"], Float[Tensor, "K *P"]]:
    """f(theta_k, *arguments_k) and its gradient in theta_k, for every k.

    Every k has parameters of its own, so that the gradient of the sum of all values has theirs as its
    rows. `torch.func.grad` under `vmap` says the same, and takes longer: a second level of tracing,
    and at its first use in a process 1.4 seconds for the import of torch's compiler. A function that
    asks its tensors for `requires_grad` is told no: see `Problem.require_gradients`.

    Args:
        f: Takes a theta and its arguments, each without the first axis; returns a scalar.
        theta: Parameters [K, ...]; an expanded view costs no memory.
        arguments: Tensors [K, ...], or lists and dictionaries of such.
        chunk: How many at once.
    """
    values: list[Tensor] = []
    gradients: list[Tensor] = []
    for start in range(0, len(theta), chunk):
        place = slice(start, start + chunk)
        with torch.inference_mode(False), torch.enable_grad():
            some = pytree.tree_map(lambda t, place=place: recorded(t)[place], arguments)
            own = recorded(theta)[place].detach().requires_grad_()
            value = torch.func.vmap(f)(own, *some)
            if value.requires_grad:
                gradients += torch.autograd.grad(value.sum(), own, materialize_grads=True)
            else:  # it does not depend on theta
                gradients.append(torch.zeros_like(own, requires_grad=False))
        values.append(value.detach())
    return torch.cat(values), torch.cat(gradients)
