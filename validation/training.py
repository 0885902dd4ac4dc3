"""Training: deterministic, full batch, and honest about how stationary it ended."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from refimpl.losses import Loss

__all__ = ["Trained", "train"]


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
    inputs: Float[Tensor, "N ..."],
    targets: Shaped[Tensor, "N ..."],
    *,
    weight_decay: float,
    iterations: int,
    tolerance: float = 1e-7,
) -> Trained:
    """Minimise the mean example loss plus weight decay by L-BFGS, in place.

    Full batch and without randomness, so that a fixed initialisation gives fixed parameters.

    Args:
        model: The model, changed.
        loss: The loss.
        inputs: Inputs [N, ...].
        targets: Targets [N, ...].
        weight_decay: Of all parameters, biases included.
        iterations: At most so many.
        tolerance: Stop when the largest entry of the gradient falls below it.
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
        penalty = sum((p**2).sum() for p in parameters)
        return loss.value(model(inputs), targets).mean() + weight_decay / 2 * penalty

    def closure() -> Float[Tensor, ""]:
        optimiser.zero_grad()
        value = objective()
        value.backward()
        return value

    def gradient_norm() -> float:
        closure()
        return float(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm())

    initial = gradient_norm()
    optimiser.step(closure)
    evaluations = optimiser.state[parameters[0]]["func_evals"]
    final = gradient_norm()
    optimiser.zero_grad()
    with torch.no_grad():
        return Trained(float(objective()), final, initial, evaluations)
