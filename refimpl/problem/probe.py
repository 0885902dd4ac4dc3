"""The model run on its first examples: refuse what is random, mixes examples, or does not fit."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from refimpl.losses import Loss
from refimpl.problem.data import Data, index, length, named_tensors

__all__ = ["check_forward", "check_targets", "outputs_of"]

# The model as a function of its inputs [N, ...] alone; what it returns is checked here.
Call = Callable[[Data], Any]


def check_forward(
    model: nn.Module,
    call: Call,
    loss: Loss,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."],
    *,
    layers: Sequence[str],
    dtype: torch.dtype,
) -> int:
    """Run the model on at most four examples, all together and each alone.

    Args:
        model: The model, whose modules are watched.
        call: Its outputs at the trained parameters, given inputs.
        loss: The loss, which says whether the targets fit.
        inputs: Training inputs, [N, ...].
        targets: Training targets, [N, ...].
        layers: Names of the modules that hold tracked parameters.
        dtype: Precision that the outputs must have.

    Returns:
        About how many numbers a forward and a backward pass of one example hold at once.

    Raises:
        ValueError: The model fails, is random, changes its inputs, mixes examples, never calls a
            tracked layer, or returns what is no tensor of finite outputs that fit the targets.
    """
    probe = index(inputs, slice(0, 4))
    calls = dict.fromkeys(layers, 0)
    hooks = [
        model.get_submodule(name).register_forward_hook(partial(_count, calls, name))
        for name in calls
    ]
    versions = [leaf._version for leaf in pytree.tree_leaves(inputs)]
    try:
        with torch.random.fork_rng(devices=[]):
            outputs = outputs_of(call, probe, dtype)
            again = call(probe)
    finally:
        for hook in hooks:
            hook.remove()
    if versions != [leaf._version for leaf in pytree.tree_leaves(inputs)]:
        raise ValueError(
            "the model changes its inputs in place, so that a second pass sees other data: let its "
            "first operation return a new tensor (inplace=False, x = x + ... instead of x += ...)"
        )
    _check_outputs(outputs, length(probe), dtype)
    uncalled = [name for name, count in calls.items() if count == 0]
    if uncalled:
        raise ValueError(
            f"the layers {uncalled} are tracked but the model's forward pass never calls them as "
            "modules: pass `layers` without them"
        )
    loss.check(_repeated(outputs, targets), targets)
    if not torch.equal(outputs, again):
        raise ValueError(
            "two passes over the same inputs differ: the model is random even in eval()"
        )
    return _check_examples_apart(model, call, probe, outputs, dtype)


def check_targets(
    call: Call, loss: Loss, inputs: Data, targets: Shaped[Tensor, "N ..."], dtype: torch.dtype
) -> None:
    """Refuse targets that do not fit what the model gives for the first of the inputs.

    Args:
        call: The model's outputs at the trained parameters, given inputs.
        loss: The loss, which says whether the targets fit.
        inputs: Inputs, [N, ...].
        targets: Targets, [N, ...].
        dtype: Precision of the inputs, for the message.

    Raises:
        ValueError: The model fails on the inputs, or the loss refuses the targets.
    """
    first = outputs_of(call, index(inputs, slice(0, 1)), dtype)
    loss.check(_repeated(first, targets), targets)


def outputs_of(call: Call, inputs: Data, dtype: torch.dtype) -> Any:
    """What the model gives for some inputs, and why there is nothing where it fails.

    Args:
        call: The model's outputs at the trained parameters, given inputs.
        inputs: Inputs, [N, ...].
        dtype: Precision of the inputs, for the message.

    Raises:
        ValueError: The model fails on the inputs.
    """
    try:
        return call(inputs)
    except Exception as error:
        shapes = {name: tuple(tensor.shape) for name, tensor in named_tensors(inputs).items()}
        raise ValueError(
            f"the model failed on its first examples: {error}. Integer inputs are passed as they "
            f"are, floating-point ones as {dtype}; shapes were {shapes}"
        ) from error


def _repeated(
    outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "N ..."]
) -> Float[Tensor, "N ..."]:
    """The first example's outputs as if every example had them: a stand-in of the right shape."""
    return outputs[:1].expand(targets.shape[0], *outputs.shape[1:])


def _check_outputs(outputs: Any, examples: int, dtype: torch.dtype) -> None:
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
    if outputs.dtype != dtype:
        raise ValueError(
            f"the model returns {outputs.dtype} although inputs and parameters are {dtype}: "
            "remove the conversion (.float(), .to(...), .argmax()) from its forward pass"
        )
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError("the model's outputs have NaN or infinite entries on its first examples")


def _check_examples_apart(
    model: nn.Module, call: Call, probe: Data, outputs: Float[Tensor, "B ..."], dtype: torch.dtype
) -> int:
    """Refuse a model that mixes examples; returns the activations of the first example alone."""
    # The same arithmetic in another order differs by roundings; a mixed batch by the order of the
    # outputs themselves. The square root of the roundoff separates the two.
    slack = torch.finfo(dtype).eps ** 0.5 * float(outputs.abs().max())
    # Each of them, since a causal mixture leaves the first example alone.
    activations = 0
    for n in range(len(outputs)):
        alone, numbers = _outputs_and_activations(model, call, index(probe, slice(n, n + 1)))
        activations = activations or numbers
        together = outputs[n : n + 1]
        if alone.shape != together.shape or float((alone - together).abs().max()) > slack:
            raise ValueError(
                "an example's outputs change with the other examples of its batch: the model mixes "
                "examples, so per-example gradients are not defined"
            )
    return activations


def _outputs_and_activations(model: nn.Module, call: Call, inputs: Data) -> tuple[Tensor, int]:
    """The outputs, and about how many numbers the forward and backward pass hold at once."""
    sizes: list[int] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        sizes.extend(t.numel() for t in pytree.tree_leaves(output) if isinstance(t, Tensor))

    leaves = [m for m in model.modules() if not any(m.children())]
    handles = [m.register_forward_hook(note) for m in leaves]
    try:
        outputs = call(inputs)
    finally:
        for handle in handles:
            handle.remove()
    # Each module's output, what is computed between modules, and their gradients.
    return outputs, 3 * sum(sizes)


def _count(calls: dict[str, int], name: str, *_: Any) -> None:
    calls[name] += 1
