"""Values and gradients of one function at many places at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils import _pytree as pytree

from refimpl.losses.graph import recorded
from refimpl.problem.data import Data, index

__all__ = ["check_gradients_under_vmap", "check_same_gradient", "values_and_gradients"]


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
    asks its tensors for `requires_grad` is told no: see `check_gradients_under_vmap`.

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
            leaf = recorded(theta)[place].detach().requires_grad_()
            value = torch.func.vmap(f)(leaf, *some)
            if value.requires_grad:
                gradients += torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
            else:  # it does not depend on theta
                gradients.append(torch.zeros_like(leaf, requires_grad=False))
        values.append(value.detach())
    return torch.cat(values), torch.cat(gradients)


def check_gradients_under_vmap(
    losses: Callable[[Tensor, Data, Tensor], Tensor],
    parameters: Float[Tensor, " P"],
    inputs: Data,
    targets: Shaped[Tensor, "B ..."],
) -> None:
    """Refuse a model that differentiates otherwise alone than beside other examples, under vmap.

    Inside vmap no tensor says that it requires a gradient: a forward that asks does something else
    there. An error of that kind is of order one, far above rounding.

    Args:
        losses: The losses [B] of examples, given theta, their inputs and their targets.
        parameters: theta, [P].
        inputs: Inputs of a few examples, [B, ...].
        targets: Their targets, [B, ...].

    Raises:
        ValueError: The sum of the examples' gradients is not the gradient of the sum.
    """

    def loss(theta: Float[Tensor, " P"], x: Data, y: Shaped[Tensor, "..."]) -> Tensor:
        return losses(theta, index(x, None), y[None])[0]

    each = parameters.expand(len(targets), -1)
    apart = values_and_gradients(loss, each, inputs, targets, chunk=len(targets))[1].sum(dim=0)
    with torch.inference_mode(False), torch.enable_grad():
        theta = recorded(parameters).detach().requires_grad_()
        total = losses(theta, inputs, targets).sum()
        (together,) = torch.autograd.grad(total, theta, materialize_grads=True)
    check_same_gradient(apart, together)


def check_same_gradient(apart: Float[Tensor, " P"], together: Float[Tensor, " P"]) -> None:
    """Refuse a sum of gradients of single examples that is not the gradient of the sum.

    Args:
        apart: The sum of the gradients that vmap gives, [P].
        together: The gradient of the sum, without vmap, [P].

    Raises:
        ValueError: They differ by more than roundings do.
    """
    error, size = float((apart - together).norm()), float(max(apart.norm(), together.norm()))
    if not error <= torch.finfo(together.dtype).eps ** 0.5 * size:
        raise ValueError(
            "the model's gradient is another one under torch.func.vmap: its forward asks whether "
            "a tensor requires a gradient, or whether gradients are enabled, and acts upon it"
        )
