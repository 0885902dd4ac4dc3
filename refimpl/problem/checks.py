"""Refusals of arguments: what was given, what was expected, and what to do.

What shows only when the model runs is refused in `probe.py`.
"""

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from refimpl.losses import Loss
from refimpl.problem.data import named_tensors

INDICES = (torch.int8, torch.int16, torch.int32, torch.int64)  # of uint8 torch would make a mask


def arguments(model: Any, loss: Any, dtype: Any) -> None:
    """Refuse arguments of the wrong kind."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(loss, Loss):
        raise TypeError(
            "loss must be one of refimpl.losses (CrossEntropy(), SquaredError(), "
            f"BinaryCrossEntropy()), or a refimpl.losses.Loss of your own, got {loss!r}"
        )
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype}")


def model(model: nn.Module) -> None:
    """Refuse a model in a state in which its outputs would be random, mixed or undefined."""
    _check_modules(model)
    _check_parameters(dict(model.named_parameters()))


def _check_modules(model: nn.Module) -> None:
    for name, module in model.named_modules():
        # Recurrent and attention modules hold the rate of their own dropout as a number.
        rate = module.p if isinstance(module, _DropoutNd) else getattr(module, "dropout", 0.0)
        stochastic = isinstance(rate, int | float) and rate > 0
        # An instance norm without running statistics does the same in both modes.
        statistics = isinstance(module, _NormBase) and (
            isinstance(module, _BatchNorm) or module.track_running_stats
        )
        if module.training and (stochastic or statistics):
            what = "dropout" if stochastic else "batch statistics"
            raise ValueError(
                f"the model is in training mode and '{name}' ({type(module).__name__}) uses {what}: "
                "call model.eval() first, so that what is analysed is the model that you evaluate"
            )
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"'{name}' ({type(module).__name__}) keeps no running statistics and so mixes the "
                "examples of a batch: influence of one example is not defined through it"
            )


def _check_parameters(named: dict[str, nn.Parameter]) -> None:
    for name, parameter in named.items():
        if isinstance(parameter, UninitializedParameter):
            raise ValueError(
                f"parameter '{name}' of a lazy module has no shape yet: call the model once first"
            )
        if parameter.is_complex():
            raise ValueError(f"parameter '{name}' is complex; only real models are supported")
    dtypes = {p.dtype for p in named.values() if p.is_floating_point()}
    if len(dtypes) > 1:
        raise ValueError(
            f"the model's parameters mix dtypes {sorted(map(str, dtypes))}: convert it with "
            "model.to(dtype) first"
        )
    devices = {p.device for p in named.values()}
    if len(devices) > 1:
        raise ValueError(f"the model is spread over devices {sorted(map(str, devices))}: use one")
    for name, parameter in named.items():
        if not bool(torch.isfinite(parameter).all()):
            raise ValueError(
                f"parameter '{name}' has NaN or infinite entries: was training stable?"
            )


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's parameters; the CPU for a model without any."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def examples(inputs: Any, targets: Any, device: torch.device) -> None:
    """Refuse data that is empty, of unequal lengths, not finite, or elsewhere than the model."""
    named = named_tensors(inputs)
    leaves = list(named.values())
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        given = {name: type(leaf).__name__ for name, leaf in named.items()} or type(inputs).__name__
        raise TypeError(
            "inputs must be a tensor, or a tuple or dict of tensors, with the examples on the first "
            f"axis; got {given}"
        )
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets must be a tensor, got {type(targets).__name__}")
    for name, tensor in {"targets": targets, **named}.items():  # the others are compared with it
        if tensor.ndim == 0:
            raise ValueError(f"{name} is a scalar: the first axis must hold the examples")
        if tensor.shape[0] == 0:
            raise ValueError(f"{name} is empty: at least one example is needed")
        if tensor.device != device:
            raise ValueError(
                f"{name} is on {tensor.device} but the model is on {device}: "
                "move them to one device"
            )
        if tensor.is_complex():
            raise ValueError(f"{name} is complex; only real data is supported")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has NaN or infinite entries")
        if tensor.shape[0] != targets.shape[0]:
            raise ValueError(
                f"inputs and targets differ in length: {name} has {tensor.shape[0]} examples, "
                f"targets {targets.shape[0]}"
            )
    dtypes = {t.dtype for t in leaves if t.is_floating_point()}
    if len(dtypes) > 1:
        raise ValueError(f"the inputs mix dtypes {sorted(map(str, dtypes))}: convert them to one")


def damping(value: Any) -> float:
    """The damping lambda as a float.

    Args:
        value: lambda, a finite number >= 0.

    Raises:
        ValueError: lambda is negative, NaN or infinite.
        TypeError: lambda is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"damping must be a number, got {type(value).__name__}")
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"damping must be a finite number >= 0, got {value}")
    return float(value)


def vectors(value: Any, num_parameters: int, like: Shaped[Tensor, "..."]) -> None:
    """Refuse vectors that are not [..., P], in the curvature's dtype and on its device, and finite."""
    if not isinstance(value, Tensor):
        raise TypeError(f"vectors must be a tensor [..., P], got {type(value).__name__}")
    if value.ndim == 0 or value.shape[-1] != num_parameters:
        raise ValueError(
            f"vectors must have shape [..., P={num_parameters}], got {tuple(value.shape)}"
        )
    if value.dtype != like.dtype or value.device != like.device:
        raise ValueError(
            f"vectors must be {like.dtype} on {like.device}, got {value.dtype} on {value.device}"
        )
    finite(value, "vectors")


def finite(values: Shaped[Tensor, "..."], what: str) -> None:
    """Refuse NaN and infinity.

    Args:
        values: The numbers.
        what: Their name in the plural, with which the error begins.

    Raises:
        ValueError: Some number is NaN or infinite.
    """
    # aminmax passes NaN on; isfinite would make a copy of what may be gigabytes.
    if values.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(values))).all()):
        raise ValueError(f"{what} have NaN or infinite entries")
