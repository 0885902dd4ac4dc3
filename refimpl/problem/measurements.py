"""Measurements: a scalar of each example's outputs and target."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.losses import Loss

__all__ = ["MEASUREMENTS", "Measurement", "measure"]

# A name, or a function of the outputs [...] and the target [...] of one example.
Measurement = str | Callable[[Tensor, Tensor], Tensor]

MEASUREMENTS = ("loss", "log_likelihood", "logit", "margin")


def measure(
    loss: Loss,
    measurement: Measurement,
    outputs: Float[Tensor, "N ..."],
    targets: Shaped[Tensor, "N ..."],
) -> Float[Tensor, " N"]:
    """The measurement of every example.

    Args:
        loss: The loss, which knows the measurements that have a name.
        measurement: One of `MEASUREMENTS`, or a function of one example's outputs and target.
        outputs: Model outputs, [N, ...].
        targets: Targets, [N, ...].

    Raises:
        ValueError: The name is unknown, the loss has no such measurement, or the function does not
            return a floating-point scalar.
    """
    if callable(measurement):
        values = torch.func.vmap(measurement)(outputs, targets)
        if values.ndim != 1:
            raise ValueError(
                "a measurement must return a scalar per example, "
                f"got shape {tuple(values.shape[1:])}"
            )
        if not values.is_floating_point():
            raise ValueError(
                f"a measurement must return a floating-point number, got {values.dtype}: it "
                "has no gradient"
            )
        return values
    if measurement == "loss":
        return loss.value(outputs, targets)
    if measurement in MEASUREMENTS:
        return getattr(loss, measurement)(outputs, targets)
    raise ValueError(
        f"unknown measurement {measurement!r}: use one of {', '.join(MEASUREMENTS)}, or a function"
    )
