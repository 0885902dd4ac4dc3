"""What a Problem refuses, each with what was given, what was expected, and what to do."""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter
from torch.utils import _pytree as pytree

from refimpl.losses import Loss

if TYPE_CHECKING:
    from refimpl.problem.problem import Problem

INDICES = (torch.int8, torch.int16, torch.int32, torch.int64)  # of uint8 torch would make a mask


def arguments(model: Any, loss: Any, dtype: Any) -> None:
    """Refuse arguments of the wrong kind."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(loss, Loss):
        raise TypeError(
            f"loss must be one of refimpl.losses (CrossEntropy(), SquaredError(), "
            f"BinaryCrossEntropy()), got {loss!r}"
        )
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype}")


def model(model: nn.Module) -> None:
    """Refuse a model in a state in which its outputs would be random, mixed or undefined."""
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
    named = dict(model.named_parameters())
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
    """Where the model lives; the CPU for a model without parameters."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _named_tensors(inputs: Any) -> dict[str, Any]:
    """What a model is called with, each by the name that an error message gives it."""
    if isinstance(inputs, tuple):
        return {f"inputs[{i}]": value for i, value in enumerate(inputs)}
    if isinstance(inputs, dict):
        return {f"inputs[{key!r}]": value for key, value in inputs.items()}
    return {"inputs": inputs}


def data(model: nn.Module, inputs: Any, targets: Any) -> None:
    """Refuse data that is empty, of unequal lengths, not finite, or elsewhere than the model."""
    named = _named_tensors(inputs)
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
        if tensor.device != device_of(model):
            raise ValueError(
                f"{name} is on {tensor.device} but the model is on {device_of(model)}: "
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


def forward(problem: "Problem") -> None:
    """Run the model on its first examples: refuse what is random, mixes examples or misfits.

    Raises:
        ValueError: See the messages.
    """
    probe, _ = problem.examples_up_to(4)
    calls = dict.fromkeys((m for layer in problem.layout.layers for m in layer.modules), 0)
    hooks = [
        problem.model.get_submodule(name).register_forward_hook(partial(_count, calls, name))
        for name in calls
    ]
    versions = [leaf._version for leaf in pytree.tree_leaves(problem.inputs)]
    try:
        with torch.random.fork_rng(devices=[]):
            outputs = _run(problem, probe)
            again = problem.outputs(probe)
    finally:
        for hook in hooks:
            hook.remove()
    if versions != [leaf._version for leaf in pytree.tree_leaves(problem.inputs)]:
        raise ValueError(
            "the model changes its inputs in place, so that a second pass sees other data: let its "
            "first operation return a new tensor (inplace=False, x = x + ... instead of x += ...)"
        )
    _check_outputs(problem, outputs, len(pytree.tree_leaves(probe)[0]))
    uncalled = [name for name, count in calls.items() if count == 0]
    if uncalled:
        raise ValueError(
            f"the layers {uncalled} are tracked but the model's forward pass never calls them as "
            "modules: pass `layers` without them"
        )
    problem.loss.check(_repeated(outputs, problem.targets), problem.targets)
    if not torch.equal(outputs, again):
        raise ValueError(
            "two passes over the same inputs differ: the model is random even in eval()"
        )
    _check_examples_apart(problem, probe, outputs)


def targets_fit(problem: "Problem", inputs: Any, targets: Shaped[Tensor, "N ..."]) -> None:
    """Refuse targets that do not fit what the model gives for the first of the inputs.

    Raises:
        ValueError: The model fails on the inputs, or the loss refuses the targets.
    """
    one = _run(problem, pytree.tree_map(lambda t: t[:1], inputs))
    problem.loss.check(_repeated(one, targets), targets)


def _run(problem: "Problem", inputs: Any) -> Any:
    try:
        return problem.outputs(inputs)
    except Exception as error:
        shapes = {name: tuple(tensor.shape) for name, tensor in _named_tensors(inputs).items()}
        raise ValueError(
            f"the model failed on its first examples: {error}. Integer inputs are passed as they "
            f"are, floating-point ones as {problem.dtype}; shapes were {shapes}"
        ) from error


def _repeated(
    outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "N ..."]
) -> Float[Tensor, "N ..."]:
    """The first example's outputs as if every example had them: a stand-in of the right shape."""
    return outputs[:1].expand(targets.shape[0], *outputs.shape[1:])


def _check_outputs(problem: "Problem", outputs: Any, examples: int) -> None:
    if not isinstance(outputs, Tensor):
        raise ValueError(
            f"the model must return a tensor of outputs, got {type(outputs).__name__}: wrap it in a "
            "module that returns the logits"
        )
    if outputs.ndim == 0 or outputs.shape[0] != examples:
        raise ValueError(
            f"outputs must have the examples on their first axis: {examples} examples gave "
            f"{tuple(outputs.shape)}"
        )
    if outputs.numel() == 0:
        raise ValueError(f"the model's outputs are empty: their shape is {tuple(outputs.shape)}")
    if outputs.dtype != problem.dtype:
        raise ValueError(
            f"the model returns {outputs.dtype} although inputs and parameters are {problem.dtype}: "
            "remove the conversion (.float(), .to(...), .argmax()) from its forward pass"
        )
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError("the model's outputs have NaN or infinite entries on its first examples")


def _check_examples_apart(problem: "Problem", probe: Any, outputs: Float[Tensor, "B ..."]) -> None:
    # The same arithmetic in another order differs by roundings; a mixed batch by the order of the
    # outputs themselves. The square root of the roundoff separates the two.
    slack = torch.finfo(problem.dtype).eps ** 0.5 * float(outputs.abs().max())
    # Each of them, since a causal mixture leaves the first example alone.
    for n in range(len(outputs)):
        place = slice(n, n + 1)
        alone = problem.outputs(pytree.tree_map(lambda t, place=place: t[place], probe))
        together = outputs[place]
        if alone.shape != together.shape or float((alone - together).abs().max()) > slack:
            raise ValueError(
                "an example's outputs change with the other examples of its batch: the model mixes "
                "examples, so per-example gradients are not defined"
            )


def _count(calls: dict[str, int], name: str, *_: Any) -> None:
    calls[name] += 1


def damping(value: Any) -> float:
    """A damping that is a finite number >= 0.

    Args:
        value: The damping lambda.

    Raises:
        ValueError: It is negative, NaN or infinite.
        TypeError: It is not a number.
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
    """Refuse NaN and infinity; `what` begins the sentence that says so."""
    # The extremes of NaN are NaN; isfinite would hold a copy of what may be gigabytes.
    if values.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(values))).all()):
        raise ValueError(f"{what} have NaN or infinite entries")
