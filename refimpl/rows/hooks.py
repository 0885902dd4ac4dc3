"""Layer inputs and pre-activation gradients of one pass over a batch of examples.

For a layer s = W a + b the gradient in [W | b] of any scalar of the outputs is sum_r g_r a_r^T, over
the positions r that the layer acts on: tokens, places of a convolution, repeated calls. Everything
that K-FAC and the structured Gauss-Newton routes need are these a (1 appended for the bias) and g.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from refimpl.problem.attention import plain_attention
from refimpl.problem.data import Data, as_arguments, length
from refimpl.problem.layers.layer import Layer
from refimpl.problem.layout import TrackedLayer
from refimpl.problem.problem import Problem

__all__ = ["LayerCall", "Pass", "Readout", "forward_pass"]


@dataclass(frozen=True)
class Readout:
    """A frozen last linear layer, f = V h + c: what lies before it sees the outputs only through h.

    Args:
        h: Its input, with its graph, [N, ..., H].
        weight: V, [C, H].
    """

    h: Float[Tensor, "N *_positions H"]
    weight: Float[Tensor, "C H"]


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Args:
        outputs: f(x), [N, ...].
        inputs: Rows a per block, [N, R, I].
        counted: Rows that count per block, [N, R]; those of ignored tokens do not.
        readout: The layer that makes the outputs, where it is linear, not tracked, and narrower.
        graph: The outputs with their graph, [N, ...].
        calls: The calls of the tracked layers, in order.
    """

    outputs: Float[Tensor, "N ..."]
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    counted: dict[str, Bool[Tensor, "N _R"]]
    readout: Readout | None
    graph: Float[Tensor, "N ..."]
    calls: list["LayerCall"]

    def backward(
        self, cotangents: Float[Tensor, "K N ..."], *, from_readout: bool = False
    ) -> dict[str, Float[Tensor, "K N _R _O"]]:
        """Pre-activation gradients g of <cotangent, f> for K cotangents at once.

        Args:
            cotangents: K vectors in output space per example, [K, N, ...].
            from_readout: Whether they are of the readout's input h, and g is of <cotangent, h>.

        Returns:
            Rows g per block [K, N, R, O], matching `inputs`.
        """
        end = self.readout.h if from_readout and self.readout else self.graph
        directions, examples = cotangents.shape[:2]
        leaves = [call.s for call in self.calls]
        gradients = torch.autograd.grad(
            end,
            leaves,
            cotangents.reshape(-1, *end.shape),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        rows: dict[str, list[Tensor]] = {}
        for call, g in zip(self.calls, gradients, strict=True):
            if g is None:  # the outputs do not depend on this call  # pyright: ignore
                g = call.s.new_zeros(directions, *call.s.shape)
            split = call.layer.example_outputs(g.flatten(0, 1), call.a, directions * examples)
            for group, name in enumerate(call.blocks):
                rows.setdefault(name, []).append(split[:, group].unflatten(0, (directions, -1)))
        return {name: _joined(parts, dim=2) for name, parts in rows.items()}


def forward_pass(
    problem: Problem,
    inputs: Data,
    targets: Shaped[Tensor, "N ..."] | None = None,
    *,
    parameters: Float[Tensor, " P"] | None = None,
) -> Pass:
    """Run the model once, keeping what its tracked layers see.

    Args:
        problem: The problem.
        inputs: Inputs [N, ...].
        targets: Targets [N, ...], which say which tokens count; None: all do.
        parameters: Flat theta [P], which may require a gradient; None: the model's own parameters.

    Raises:
        ValueError: A layer's leading axis does not hold the examples.
    """
    recorder = _Recorder(length(inputs), None if targets is None else problem.loss.counted(targets))
    handles = [
        problem.model.get_submodule(name).register_forward_hook(
            partial(recorder.keep, tracked, layer), with_kwargs=True
        )
        for tracked in problem.layout.layers
        for name, layer in tracked.modules.items()
    ]
    tracked_names = {name for tracked in problem.layout.layers for name in tracked.modules}
    last: list[_Call] = []
    handles += [
        module.register_forward_hook(partial(_keep_call, last), with_kwargs=True)
        for name, module in problem.model.named_modules()
        if name not in tracked_names and _widens(module)
    ]
    args, kwargs = as_arguments(inputs)
    try:
        with torch.enable_grad(), plain_attention():
            if parameters is None:
                graph = problem.model(*args, **kwargs)
            else:
                graph = problem.outputs(inputs, parameters)
    finally:
        for handle in handles:
            handle.remove()
    return Pass(
        outputs=graph.detach(),
        inputs={name: _joined(parts, dim=1) for name, parts in recorder.rows.items()},
        counted={name: _joined(parts, dim=1) for name, parts in recorder.counted.items()},
        readout=_readout(last, graph),
        graph=graph,
        calls=recorder.calls,
    )


@dataclass(frozen=True)
class LayerCall:
    """A call of a tracked module, with the names of its blocks, its input and its output."""

    layer: Layer
    blocks: list[str]
    a: Tensor
    s: Tensor


@dataclass(frozen=True)
class _Call:
    """The call of a linear layer, and how often its input and output had been changed in place."""

    module: nn.Linear
    h: Tensor
    s: Tensor
    versions: tuple[int, int]


def _widens(module: nn.Module) -> bool:
    """Whether a module is nn.Linear and nothing else, with more outputs than inputs."""
    return (
        isinstance(module, nn.Linear)
        # Not a subclass's, nor one that was put in its place.
        and getattr(module.forward, "__func__", None) is nn.Linear.forward
        and not module._forward_hooks  # the caller's may change what it gives
        and module.out_features > module.in_features
    )


def _keep_call(
    last: list[_Call],
    module: nn.Linear,
    args: tuple[Tensor, ...],
    kwargs: dict[str, Tensor],
    s: Float[Tensor, "..."],
) -> None:
    """A forward hook: keep the last call of a layer that is not tracked."""
    h = args[0] if args else kwargs["input"]
    last[:] = [_Call(module, h, s, (h._version, s._version))]


def _readout(last: list[_Call], graph: Float[Tensor, "N ..."]) -> Readout | None:
    """The last linear layer, where what it made is the outputs themselves, unchanged since."""
    if not last or last[0].s is not graph or not last[0].h.requires_grad:
        return None
    call = last[0]
    # What was changed in place is still the same tensor, and may even have the same numbers.
    if call.versions != (call.h._version, call.s._version):
        return None
    return Readout(call.h, call.module.weight.detach())


def _joined(parts: list[Shaped[Tensor, "..."]], dim: int) -> Shaped[Tensor, "..."]:
    """The parts as one tensor, without copying a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


class _Recorder:
    """Recorder of the forward hooks: every call's pre-activations, input rows, and mask of rows."""

    def __init__(self, examples: int, token_mask: Bool[Tensor, "N ..."] | None) -> None:
        self.examples = examples
        self.token_mask = token_mask
        self.calls: list[LayerCall] = []
        self.rows: dict[str, list[Tensor]] = {}
        self.counted: dict[str, list[Tensor]] = {}

    def keep(
        self,
        tracked: TrackedLayer,
        layer: Layer,
        module: nn.Module,
        args: tuple[Tensor, ...],
        kwargs: dict[str, Tensor],
        s: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """A forward hook: keep one call of a layer, which has its input as only argument."""
        del module
        a = (args[0] if args else next(iter(kwargs.values()))).detach()
        s = s if s.requires_grad else s.detach().requires_grad_()
        self.calls.append(LayerCall(layer, tracked.block_names, a, s))
        split = layer.example_inputs(a, self.examples).clone()
        mask = _row_mask(layer, s, split, self.token_mask)
        for group, block in enumerate(tracked.block_names):
            self.rows.setdefault(block, []).append(split[:, group])
            self.counted.setdefault(block, []).append(mask)
        # A clone goes on, so that an in-place activation after the layer cannot overwrite s.
        return s.clone()


def _row_mask(
    layer: Layer,
    s: Float[Tensor, "..."],
    split: Float[Tensor, "N G R I"],
    token_mask: Bool[Tensor, "N ..."] | None,
) -> Bool[Tensor, "N R"]:
    """Mask of rows that count: those of counted tokens where a layer acts token by token, else all."""
    n, _, rows, _ = split.shape
    # Token by token: the axes before the last are those of the targets, or all of them folded.
    if (
        token_mask is not None
        and layer.by_token
        and s.shape[:-1] in (token_mask.shape, (token_mask.numel(),))
    ):
        return token_mask.reshape(n, -1)
    return torch.ones(n, rows, dtype=torch.bool, device=split.device)
