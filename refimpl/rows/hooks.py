"""Layer inputs and pre-activation gradients of one pass over a batch of examples.

For a layer s = W a + b the gradient in [W | b] of any scalar of the outputs is sum_r g_r a_r^T, over
the positions r that the layer acts on: tokens, places of a convolution, repeated calls. Everything
that K-FAC and the structured Gauss-Newton routes need are these a (1 appended for the bias) and g.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from weakref import WeakSet

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from refimpl.problem.attention import plain_attention
from refimpl.problem.data import Data, as_arguments, index, length
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.layers.layer import Layer
from refimpl.problem.layout import TrackedLayer
from refimpl.problem.problem import Problem

__all__ = ["Pass", "Readout", "forward_pass", "matrices", "pieces_of_matrices", "verify"]

# A batch and its directions are cut so that what they hold stays near this many numbers (128 MiB).
BUDGET = 2**24


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
    """

    outputs: Float[Tensor, "N ..."]
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    counted: dict[str, Bool[Tensor, "N _R"]]
    readout: Readout | None
    _graph: Float[Tensor, "N ..."]
    _calls: list["_LayerCall"]

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
        end = self.readout.h if from_readout and self.readout else self._graph
        directions, examples = cotangents.shape[:2]
        leaves = [call.s for call in self._calls]
        gradients = torch.autograd.grad(
            end,
            leaves,
            cotangents.reshape(-1, *end.shape),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        rows: dict[str, list[Tensor]] = {}
        for call, g in zip(self._calls, gradients, strict=True):
            if g is None:  # the outputs do not depend on this call  # pyright: ignore
                g = call.s.new_zeros(directions, *call.s.shape)
            split = call.layer.example_outputs(g.flatten(0, 1), call.a, directions * examples)
            for group, name in enumerate(call.blocks):
                rows.setdefault(name, []).append(split[:, group].unflatten(0, (directions, -1)))
        return {name: _joined(parts, dim=2) for name, parts in rows.items()}


def forward_pass(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "N ..."] | None = None
) -> Pass:
    """Run the model once, at the trained parameters, keeping what its tracked layers see.

    Args:
        problem: The problem.
        inputs: Inputs [N, ...].
        targets: Targets [N, ...], which say which tokens count; None: all do.

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
            graph = problem.model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return Pass(
        outputs=graph.detach(),
        inputs={name: _joined(parts, dim=1) for name, parts in recorder.rows.items()},
        counted={name: _joined(parts, dim=1) for name, parts in recorder.counted.items()},
        readout=_readout(last, graph),
        _graph=graph,
        _calls=recorder.calls,
    )


@dataclass(frozen=True)
class _LayerCall:
    """A call of a tracked module: how it acts, the names of its blocks, its input and its output."""

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
    """What the forward hooks see: every call's pre-activations, input rows, and which rows count."""

    def __init__(self, examples: int, token_mask: Bool[Tensor, "N ..."] | None) -> None:
        self.examples = examples
        self.token_mask = token_mask
        self.calls: list[_LayerCall] = []
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
        self.calls.append(_LayerCall(layer, tracked.block_names, a, s))
        split = layer.example_inputs(a, self.examples).clone()
        mask = _row_mask(layer, s, split, self.token_mask)
        for group, block in enumerate(tracked.block_names):
            self.rows.setdefault(block, []).append(split[:, group])
            self.counted.setdefault(block, []).append(mask)
        # A clone goes on, so that an in-place activation after the layer cannot overwrite s.
        return s.clone()


def matrices(
    g: Float[Tensor, "*#batch R O"], a: Float[Tensor, "*#batch R I"]
) -> Float[Tensor, "... O I"]:
    """The gradient in [W | b]: sum_r g_r a_r^T, for leading axes that broadcast."""
    return g.mT @ a


def pieces_of_matrices(
    g: Float[Tensor, "K N R O"], a: Float[Tensor, "N R I"]
) -> Iterator[Float[Tensor, "K B O I"]]:
    """The gradients in [W | b] of all directions, as many examples at a time as fit 128 MiB."""
    step = max(1, BUDGET // (g.shape[0] * g.shape[3] * a.shape[2]))
    for some, rows in zip(g.split(step, dim=1), a.split(step), strict=True):
        yield matrices(some, rows)


_verified: WeakSet[Problem] = WeakSet()


def verify(problem: Problem) -> None:
    """Refuse a model whose tracked parameters act otherwise than through their layers' calls.

    A parameter used functionally, or a layer called with the examples on another axis, would make
    sum_r g_r a_r^T wrong without a sign of it. The gradient of a random combination of the first
    examples' outputs shows it: an error of that kind is of order one, rounding of order u. A problem
    never changes, so it is looked at once.

    Raises:
        ValueError: The gradients differ.
    """
    if problem in _verified:
        return
    problem.require_gradients()
    inputs, targets = problem.examples_up_to(3)
    generator = torch.Generator().manual_seed(0)
    run = forward_pass(problem, inputs, targets)
    v = torch.randn(run.outputs.shape, generator=generator, dtype=problem.dtype).to(run.outputs)
    rows = run.backward(v[None])
    ours = problem.layout.flatten(
        {name: matrices(g[0], run.inputs[name]) for name, g in rows.items()}
    )

    def combination(theta: Float[Tensor, " P"], x: Data, w: Float[Tensor, "..."]) -> Tensor:
        return (problem.outputs(index(x, None), theta)[0] * w).sum()

    theta = problem.parameters.expand(len(v), -1)
    truth = values_and_gradients(combination, theta, inputs, v, chunk=len(v))[1]
    scale = float(truth.norm())
    for block in problem.layout.blocks:
        error = float((ours - truth)[:, block.slice].norm())
        if not error <= torch.finfo(problem.dtype).eps ** 0.5 * max(scale, float(ours.norm())):
            raise ValueError(
                f"the gradient of layer '{block.layer}' is not sum_r g_r a_r^T over its calls: its "
                "parameters are used outside the module's forward, or the layer is called with the "
                "examples on another axis than the first. Leave it out of `layers`"
            )
    _verified.add(problem)


def _row_mask(
    layer: Layer,
    s: Float[Tensor, "..."],
    split: Float[Tensor, "N G R I"],
    token_mask: Bool[Tensor, "N ..."] | None,
) -> Bool[Tensor, "N R"]:
    """Which rows count: those of counted tokens where a layer acts token by token, else all."""
    n, _, rows, _ = split.shape
    # Token by token: the axes before the last are those of the targets, or all of them folded.
    if (
        token_mask is not None
        and layer.by_token
        and s.shape[:-1] in (token_mask.shape, (token_mask.numel(),))
    ):
        return token_mask.reshape(n, -1)
    return torch.ones(n, rows, dtype=torch.bool, device=split.device)
