"""What a Problem refuses, each with what was given, what was expected, and what to do."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils import _pytree as pytree

from refimpl.layers import SUPPORTED, is_supported
from refimpl.losses import Loss

if TYPE_CHECKING:
    from refimpl.problem import Problem


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
        stochastic = (isinstance(module, _DropoutNd) and module.p > 0) or (
            getattr(module, "dropout", 0.0)
            if isinstance(getattr(module, "dropout", 0.0), float)
            else 0
        )
        statistics = isinstance(module, _NormBase)
        if module.training and (stochastic or statistics):
            what = "dropout" if stochastic else "batch statistics"
            raise ValueError(
                f"the model is in training mode and '{name}' ({type(module).__name__}) uses {what}: "
                "call model.eval() first, so that what is analysed is the model that you evaluate"
            )
        if isinstance(module, _NormBase) and module.running_mean is None:
            raise ValueError(
                f"'{name}' ({type(module).__name__}) keeps no running statistics and so mixes the "
                "examples of a batch: influence of one example is not defined through it"
            )
    named = dict(model.named_parameters())
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


def data(model: nn.Module, inputs: Any, targets: Any) -> None:
    """Refuse data that is empty, of unequal lengths, not finite, or elsewhere than the model."""
    leaves = pytree.tree_leaves(inputs)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise TypeError(
            "inputs must be a tensor, or a tuple or dict of tensors, with the examples on the first "
            f"axis; got {type(inputs).__name__}"
        )
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets must be a tensor, got {type(targets).__name__}")
    for name, tensor in [
        *((f"inputs[{i}]", t) for i, t in enumerate(leaves)),
        ("targets", targets),
    ]:
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


def resolve_layers(model: nn.Module, layers: Sequence[str] | None) -> list[dict[str, nn.Module]]:
    """The tracked layers, each as the modules {name: module} that hold its parameters.

    Args:
        model: The model.
        layers: Names or patterns in the order wanted, or None for every supported layer.

    Raises:
        ValueError: A name matches nothing, a matched layer is not supported or shares only part of
            its parameters, or nothing is left to track.
        TypeError: `layers` is not a sequence of strings.
    """
    modules = dict(model.named_modules(remove_duplicate=True))
    aliases: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        aliases.setdefault(id(module), []).append(name)
    if layers is None:
        chosen = [name for name, module in modules.items() if is_supported(module)]
        if not chosen:
            raise ValueError(f"the model has no layer that can be tracked ({SUPPORTED})")
    else:
        chosen = _match(modules, aliases, layers)
    groups: list[dict[str, nn.Module]] = []
    for name in chosen:
        module = modules[name]
        sharing = {n: m for n, m in modules.items() if _owned(m) & _owned(module)}
        for other, holder in sharing.items():
            if not _same_layer(module, holder):
                raise ValueError(
                    f"'{name}' and '{other}' ({type(holder).__name__}) share a parameter but not "
                    "all of them, or use it differently: they form no single matrix [W | b]. "
                    f"Leave '{name}' out of `layers`, or untie them"
                )
        if not any(name in group for group in groups):
            groups.append(sharing)
    return groups


def _match(
    modules: Mapping[str, nn.Module], aliases: Mapping[int, list[str]], layers: Sequence[str]
) -> list[str]:
    if isinstance(layers, str) or not all(isinstance(pattern, str) for pattern in layers):
        raise TypeError(f"layers must be a list of names or patterns, got {layers!r}")
    if not layers:
        raise ValueError("layers is empty: name at least one layer, or pass None for all")
    chosen: list[str] = []
    for pattern in layers:
        matched = [
            name
            for name, module in modules.items()
            if any(fnmatchcase(alias, pattern) for alias in aliases[id(module)])
        ]
        usable = [name for name in matched if is_supported(modules[name])]
        if not usable:
            available = [name for name, module in modules.items() if is_supported(module)]
            if matched:
                kinds = sorted({type(modules[name]).__name__ for name in matched})
                raise ValueError(
                    f"layer '{pattern}' ({', '.join(kinds)}) cannot be tracked: only {SUPPORTED} "
                    f"can. Available: {available}"
                )
            raise ValueError(f"no layer is named '{pattern}'. Available: {available}")
        unsupported = [name for name in matched if name not in usable and _owned(modules[name])]
        if unsupported:
            raise ValueError(
                f"'{pattern}' also matches {unsupported}, which hold parameters but cannot be "
                f"tracked (only {SUPPORTED} can): use a narrower pattern"
            )
        chosen += [name for name in usable if name not in chosen]
    return chosen


def _owned(module: nn.Module) -> set[int]:
    return {id(p) for p in module.parameters(recurse=False)}


def _same_layer(a: nn.Module, b: nn.Module) -> bool:
    return is_supported(b) and type(a).forward is type(b).forward and _owned(a) == _owned(b)


def forward(problem: "Problem") -> None:
    """Run the model on its first examples: refuse what is random, mixes examples or misfits.

    Raises:
        ValueError: See the messages.
    """
    probe, targets = problem.examples_up_to(2)
    calls = dict.fromkeys((m for layer in problem.layout.layers for m in layer.modules), 0)
    hooks = [
        problem.model.get_submodule(name).register_forward_hook(_counter(calls, name))
        for name in calls
    ]
    try:
        with torch.random.fork_rng(devices=[]):
            try:
                outputs = problem.outputs(probe)
            except Exception as error:
                raise ValueError(
                    f"the model failed on its first examples: {error}. Integer inputs are passed as "
                    "they are, floating-point ones as "
                    f"{problem.dtype}; shapes were {_shapes(probe)}"
                ) from error
            again = problem.outputs(probe)
    finally:
        for hook in hooks:
            hook.remove()
    _check_outputs(outputs, targets.shape[0])
    uncalled = [name for name, count in calls.items() if count == 0]
    if uncalled:
        raise ValueError(
            f"the layers {uncalled} are tracked but the model's forward pass never calls them as "
            "modules: pass `layers` without them"
        )
    problem.loss.check(outputs, targets)
    problem.loss.check(
        outputs[:1].expand(problem.num_examples, *outputs.shape[1:]), problem.targets
    )
    if not torch.equal(outputs, again):
        raise ValueError(
            "two passes over the same inputs differ: the model is random even in eval()"
        )
    _check_examples_apart(problem, probe, outputs)


def _check_outputs(outputs: Any, examples: int) -> None:
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
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError("the model's outputs have NaN or infinite entries on its first examples")


def _check_examples_apart(problem: "Problem", probe: Any, outputs: Float[Tensor, "B ..."]) -> None:
    one = pytree.tree_map(lambda t: t[:1], probe)
    alone = problem.outputs(one)
    # The same arithmetic in another order differs by roundings; a mixed batch by the order of the
    # outputs themselves. The square root of the roundoff separates the two.
    slack = torch.finfo(problem.dtype).eps ** 0.5 * float(outputs.abs().max())
    if alone.shape[1:] != outputs.shape[1:] or float((alone - outputs[:1]).abs().max()) > slack:
        raise ValueError(
            "an example's outputs change with the other examples of its batch: the model mixes "
            "examples, so per-example gradients are not defined"
        )


def _counter(calls: dict[str, int], name: str) -> Any:
    def count(*_: Any) -> None:
        calls[name] += 1

    return count


def _shapes(data: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in pytree.tree_leaves(data)]


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
    if not bool(torch.isfinite(value).all()):
        raise ValueError("vectors have NaN or infinite entries")
