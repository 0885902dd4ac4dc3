"""Training: deterministic, and honest about how stationary it ended."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from refimpl.losses import Loss
from refimpl.problem.data import Data, as_arguments, index, length

__all__ = ["Trained", "train", "train_minibatch"]


@dataclass(frozen=True)
class Trained:
    """Where training ended, on the objective J + weight_decay / 2 ||theta||^2."""

    objective: float
    gradient_norm: float
    initial_gradient_norm: float
    evaluations: int


def train(
    model: nn.Module,
    loss: Loss,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    *,
    weight_decay: float,
    iterations: int,
    tolerance: float = 1e-7,
    batch_size: int | None = None,
    newton: int = 0,
) -> Trained:
    """Minimise the mean example loss plus weight decay by L-BFGS, in place.

    Full batch and without randomness, so that a fixed initialisation gives fixed parameters: to the last
    digit on one processor. On another one roundings differ, and differ ever more with every step of what
    is cut short; L-BFGS ends at 1e-7 of the minimum, where the objective is flat to its last digit, and a
    few Newton steps from there reach the same 1e-12 everywhere.

    Args:
        model: The model, changed.
        loss: The loss.
        inputs: Inputs [N, ...], a tensor or several that the model is called with.
        targets: Targets [N, ...].
        weight_decay: Of all parameters, biases included.
        iterations: At most so many.
        tolerance: Stop when the largest entry of the gradient falls below it.
        batch_size: Examples held at a time, for the memory; the objective is that of all of them.
        newton: Newton steps after that, each with the whole Hessian of all parameters: for small models.

    Returns:
        Where it ended; `evaluations` counts gradients of the objective, and Newton steps.
    """
    parameters = list(model.parameters())
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Float[Tensor, ""]:
        return _backward(model, loss, inputs, targets, weight_decay, batch_size)

    def minimise() -> int:
        optimiser.step(objective)
        for _ in range(newton):
            _newton_step(model, loss, inputs, targets, weight_decay)
        return int(optimiser.state[parameters[0]]["func_evals"]) + newton

    return _measured(model, objective, minimise)


def train_minibatch(
    model: nn.Module,
    loss: Loss,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    *,
    weight_decay: float,
    epochs: int,
    batch_size: int,
    rate: float,
    generator: torch.Generator,
) -> Trained:
    """Minimise the mean example loss plus weight decay by Adam, in place.

    For what takes L-BFGS too long, which may still polish the end. The step falls from `rate` to 0
    along half a cosine (Loshchilov & Hutter 2017, equation 5, without restarts).

    Args:
        model: The model, changed.
        loss: The loss.
        inputs: Inputs [N, ...], a tensor or several that the model is called with.
        targets: Targets [N, ...].
        weight_decay: Of all parameters, biases included: part of the objective, not decoupled.
        epochs: Passes over the examples.
        batch_size: Examples a step; the last of an epoch may have fewer.
        rate: Adam's first step.
        generator: Source of the order of the examples, anew in every epoch.

    Returns:
        Where it ended, over all examples; `evaluations` counts the steps.
    """
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=rate)
    examples = length(inputs)
    steps = epochs * math.ceil(examples / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def objective() -> Float[Tensor, ""]:
        return _backward(model, loss, inputs, targets, weight_decay, batch_size)

    def minimise() -> int:
        for _ in range(epochs):
            for chosen in torch.randperm(examples, generator=generator).split(batch_size):
                _backward(model, loss, index(inputs, chosen), targets[chosen], weight_decay)
                optimiser.step()
                schedule.step()
        return steps

    return _measured(model, objective, minimise)


def _newton_step(
    model: nn.Module,
    loss: Loss,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    weight_decay: float,
) -> None:
    """Move to theta - H^-1 g of the objective."""
    named = dict(model.named_parameters())
    sizes = [p.numel() for p in named.values()]
    args, kwargs = as_arguments(inputs)

    def objective(theta: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        parts = theta.split(sizes)
        given = {n: v.view_as(p) for (n, p), v in zip(named.items(), parts, strict=True)}
        outputs = functional_call(model, given, args, kwargs)
        return loss.value(outputs, targets).mean() + weight_decay / 2 * (theta @ theta)

    theta = parameters_to_vector(named.values()).detach()
    step = torch.linalg.solve(hessian(objective)(theta), grad(objective)(theta))
    vector_to_parameters(theta - step, named.values())


def _backward(
    model: nn.Module,
    loss: Loss,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    weight_decay: float,
    batch_size: int | None = None,
) -> Float[Tensor, ""]:
    """The objective of these examples; its gradient is left in the parameters."""
    model.zero_grad()
    parameters, examples = list(model.parameters()), length(inputs)
    value = weight_decay / 2 * torch.stack([(p**2).sum() for p in parameters]).sum()
    value.backward()
    value = value.detach()
    for start in range(0, examples, batch_size or examples):
        batch = slice(start, start + (batch_size or examples))
        args, kwargs = as_arguments(index(inputs, batch))
        part = loss.value(model(*args, **kwargs), targets[batch]).sum() / examples
        part.backward()
        value = value + part.detach()
    return value


def _measured(
    model: nn.Module, objective: Callable[[], Float[Tensor, ""]], minimise: Callable[[], int]
) -> Trained:
    """Minimise between two looks at the objective and its gradient; leave no gradients behind."""

    def look() -> tuple[float, float]:
        value = objective()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return float(value), float(torch.cat(gradients).norm())

    _, initial = look()
    evaluations = minimise()
    value, final = look()
    model.zero_grad()
    return Trained(value, final, initial, evaluations)
