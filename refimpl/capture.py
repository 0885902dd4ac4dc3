"""Layer inputs and pre-activation gradients of one pass over a batch of examples.

For a layer s = W a + b the gradient in [W | b] of any scalar of the outputs is sum_r g_r a_r^T, over
the positions r that the layer acts on: tokens, places of a convolution, repeated calls. Everything
that K-FAC and the structured Gauss-Newton routes need are these a (1 appended for the bias) and g.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args
from weakref import WeakSet

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor, nn

from refimpl.layers import groups_of, input_rows, output_rows
from refimpl.problem import Data, Problem, as_arguments, index, length

__all__ = [
    "Fisher",
    "Pass",
    "Rows",
    "Sweep",
    "captured",
    "forward_pass",
    "matrices",
    "sizes",
    "sweeps",
]

Fisher = Literal["exact", "sampled", "empirical"]

# A batch and its directions are cut so that what they hold stays near this many numbers (128 MiB).
BUDGET = 2**24


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Args:
        outputs: f(x), [N, ...].
        inputs: Rows a per block, [N, R, I].
        counted: Rows that count per block, [N, R]; those of ignored tokens do not.
    """

    outputs: Float[Tensor, "N ..."]
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    counted: dict[str, Bool[Tensor, "N _R"]]
    _graph: Float[Tensor, "N ..."]
    _calls: list[tuple[str, nn.Module, Tensor]]

    def backward(
        self, cotangents: Float[Tensor, "K N ..."]
    ) -> dict[str, Float[Tensor, "K N _R _O"]]:
        """Pre-activation gradients g of <cotangent, f> for K cotangents at once.

        Args:
            cotangents: K vectors in output space per example, [K, N, ...].

        Returns:
            Rows g per block [K, N, R, O], matching `inputs`.
        """
        directions, examples = cotangents.shape[:2]
        leaves = [s for _, _, s in self._calls]
        gradients = torch.autograd.grad(
            self._graph,
            leaves,
            cotangents.reshape(-1, *self._graph.shape),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        rows: dict[str, list[Tensor]] = {}
        for (layer, module, s), g in zip(self._calls, gradients, strict=True):
            if g is None:  # the outputs do not depend on this call  # pyright: ignore
                g = s.new_zeros(directions, *s.shape)
            split = output_rows(module, g.flatten(0, 1), directions * examples)
            for group, name in enumerate(_block_names(layer, module)):
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
    layer_of = {m: layer.name for layer in problem.layout.layers for m in layer.modules}
    recorder = _Recorder(length(inputs), None if targets is None else problem.loss.counted(targets))
    handles = [
        problem.model.get_submodule(module).register_forward_hook(
            partial(recorder.keep, layer), with_kwargs=True
        )
        for module, layer in layer_of.items()
    ]
    args, kwargs = as_arguments(inputs)
    try:
        with torch.enable_grad():
            graph = problem.model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return Pass(
        outputs=graph.detach(),
        inputs={name: _joined(parts, dim=1) for name, parts in recorder.rows.items()},
        counted={name: _joined(parts, dim=1) for name, parts in recorder.counted.items()},
        _graph=graph,
        _calls=recorder.calls,
    )


def _joined(parts: list[Shaped[Tensor, "..."]], dim: int) -> Shaped[Tensor, "..."]:
    """The parts as one tensor, without copying a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


class _Recorder:
    """What the forward hooks see: every call's pre-activations, input rows, and which rows count."""

    def __init__(self, examples: int, token_mask: Bool[Tensor, "N ..."] | None) -> None:
        self.examples = examples
        self.token_mask = token_mask
        self.calls: list[tuple[str, nn.Module, Tensor]] = []
        self.rows: dict[str, list[Tensor]] = {}
        self.counted: dict[str, list[Tensor]] = {}

    def keep(
        self,
        layer: str,
        module: nn.Module,
        args: tuple[Tensor, ...],
        kwargs: dict[str, Tensor],
        s: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """A forward hook: keep one call of a layer."""
        a = args[0] if args else kwargs["input"]
        s = s if s.requires_grad else s.detach().requires_grad_()
        self.calls.append((layer, module, s))
        split = input_rows(module, a.detach(), self.examples).clone()
        mask = _row_mask(module, a, split, self.token_mask)
        for group, block in enumerate(_block_names(layer, module)):
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


@dataclass(frozen=True)
class Sweep:
    """Pseudo-gradients of some examples in some directions.

    The sum over all directions of one example has the second moment that the Fisher asked for has.

    Args:
        place: Where the examples stand in the training data.
        first: Whether these are the examples' first directions.
        inputs: Rows a per block, [N, R, I].
        counted: Rows that count per block, [N, R].
        gradients: Rows g per block for K directions, [K, N, R, O].
    """

    place: slice
    first: bool
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    counted: dict[str, Bool[Tensor, "N _R"]]
    gradients: dict[str, Float[Tensor, "K N _R _O"]]


def sweeps(
    problem: Problem,
    *,
    fisher: Fisher = "exact",
    samples: int = 1,
    draws: Float[Tensor, "N samples ..."] | None = None,
    batch_size: int | None = None,
) -> Iterator[Sweep]:
    """Pseudo-gradients of the whole training set, in bounded pieces and in order.

    Memory is that of `batch_size` examples' activations, plus about 128 MiB (float64) of gradients.

    Args:
        problem: The problem.
        fisher: "exact": the output Hessian's root, so that the expectation over labels is in closed
            form; "sampled": labels from the model's outputs; "empirical": the data's own labels.
        samples: Labels drawn per example, for "sampled".
        draws: Random numbers from `label_draws`, for "sampled".
        batch_size: Examples per pass; default: as many as fit the bound.

    Raises:
        ValueError: Unknown fisher, samples < 1, or a model whose gradients the layers do not give.
    """
    if fisher not in get_args(Fisher):
        raise ValueError(f"fisher must be one of {get_args(Fisher)}, got {fisher!r}")
    _check_samples(samples)
    verify(problem)
    row_cost = _numbers_per_example(problem)
    fitting = min(problem.num_examples, max(1, BUDGET // (4 * row_cost)))
    size = fitting if batch_size is None else batch_size
    for place, inputs, targets in problem.batches(size):
        run = forward_pass(problem, inputs, targets)
        local = None if draws is None else draws[place]
        step = max(1, BUDGET // (row_cost * len(run.outputs)))
        first = True
        for cotangents in _cotangents(problem, run.outputs, targets, fisher, samples, local, step):
            yield Sweep(place, first, run.inputs, run.counted, run.backward(cotangents))
            first = False


@dataclass(frozen=True)
class Sizes:
    """How many rows an example has.

    Args:
        directions: Columns of its output Hessian's compact root, all tokens together.
        positions: Rows per block.
    """

    directions: int
    positions: dict[str, int]


def sizes(problem: Problem) -> Sizes:
    """How many directions and positions the problem's examples have, from the first of them."""
    inputs, targets = problem.examples_up_to(1)
    run = forward_pass(problem, inputs, targets)
    _, tokens, _, columns = problem.loss.compact_root(run.outputs, targets).shape
    return Sizes(tokens * columns, {name: a.shape[1] for name, a in run.inputs.items()})


@dataclass(frozen=True)
class Rows:
    """What u_nk = sum_r g_nkr a_nr^T is made of, with sum_k u_nk u_nk^T = J_n^T H_n J_n.

    Args:
        place: Where the examples stand in the training data.
        inputs: Rows a per block, [N, R, I].
        gradients: Rows g per block, [K, N, R, O], of all directions k: the columns of H_n's root.
    """

    place: slice
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    gradients: dict[str, Float[Tensor, "K N _R _O"]]


def captured(problem: Problem, batch_size: int) -> Iterator[Rows]:
    """The rows of all training examples in order, `batch_size` examples at a time.

    Memory is that of the rows, and of the activations of as many backward passes as fit 128 MiB.

    Args:
        problem: The problem.
        batch_size: Examples per piece.

    Raises:
        ValueError: A model whose gradients the layers do not give.
    """
    verify(problem)
    step = max(1, BUDGET // (problem.activations * min(batch_size, problem.num_examples)))
    for place, inputs, targets in problem.batches(batch_size):
        run = forward_pass(problem, inputs, targets)
        root = problem.loss.compact_root(run.outputs, targets)
        parts = [run.backward(c) for c in _columns(root, run.outputs, step)]
        gradients = {
            name: torch.cat([part[name] for part in parts]) if len(parts) > 1 else g
            for name, g in parts[0].items()
        }
        yield Rows(place, run.inputs, gradients)


def sweeps_kept(
    problem: Problem,
    *,
    fisher: Fisher = "exact",
    samples: int = 1,
    draws: Float[Tensor, "N samples ..."] | None = None,
    batch_size: int | None = None,
) -> Callable[[], Iterator[Sweep]]:
    """`sweeps` for those who need them twice: kept where they fit 128 MiB, else made anew.

    Args:
        problem: The problem.
        fisher: As for `sweeps`.
        samples: As for `sweeps`.
        draws: As for `sweeps`.
        batch_size: As for `sweeps`.

    Returns:
        A function that gives them from the first on.
    """
    kept: list[Sweep] | None = None

    def again() -> Iterator[Sweep]:
        nonlocal kept
        if kept is not None:
            yield from kept
            return
        held, numbers = [], 0
        for sweep in sweeps(
            problem, fisher=fisher, samples=samples, draws=draws, batch_size=batch_size
        ):
            numbers += sum(g.numel() for g in sweep.gradients.values())
            numbers += sum(a.numel() for a in sweep.inputs.values())
            if numbers <= BUDGET:
                held.append(sweep)
            else:
                held.clear()
            yield sweep
        kept = held if numbers <= BUDGET else None

    return again


def label_draws(
    problem: Problem, samples: int, generator: Generator | None
) -> Float[Tensor, "N samples ..."]:
    """The random numbers of all sampled labels at once, so that no batch size can change them.

    Args:
        problem: The problem.
        samples: Labels per example.
        generator: Where they come from; None: a generator of its own with seed 0.

    Raises:
        ValueError: samples < 1.
    """
    _check_samples(samples)
    one = problem.outputs(problem.examples_up_to(1)[0])
    like = one.expand(problem.num_examples, *one.shape[1:])
    return problem.loss.draws(like, samples, generator)


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise ValueError(f"samples must be >= 1, got {samples}")


def _cotangents(
    problem: Problem,
    outputs: Float[Tensor, "N ..."],
    targets: Shaped[Tensor, "N ..."],
    fisher: Fisher,
    samples: int,
    draws: Float[Tensor, "N samples ..."] | None,
    step: int,
) -> Iterator[Float[Tensor, "K N ..."]]:
    """The output-space vectors to send back, at most `step` at a time, each [K, N, *outputs]."""
    shape = outputs.shape
    if fisher == "exact":
        yield from _columns(problem.loss.compact_root(outputs, targets), outputs, step)
        return
    if fisher == "empirical":
        yield problem.loss.gradient(outputs, targets).reshape(1, *shape)
        return
    if draws is None:
        raise ValueError("fisher='sampled' needs draws: see label_draws")
    scores = problem.loss.pseudo_gradients(outputs, targets, draws) / samples**0.5
    for start in range(0, samples, step):
        yield scores[start : start + step].reshape(-1, *shape)


def _columns(
    root: Float[Tensor, "N T C K"], outputs: Float[Tensor, "N ..."], step: int
) -> Iterator[Float[Tensor, "D N ..."]]:
    """The columns of all tokens' roots, each zero at the other tokens, at most `step` at a time."""
    n, tokens, classes, directions = root.shape
    columns = [(t, k) for t in range(tokens) for k in range(directions)]
    for start in range(0, len(columns), step):
        chosen = columns[start : start + step]
        t, k = torch.tensor(chosen, device=root.device).T
        chunk = root.new_zeros(len(chosen), n, tokens, classes)
        chunk[torch.arange(len(chosen), device=root.device), :, t] = root[:, t, :, k]
        yield chunk.reshape(-1, *outputs.shape)


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

    truth = torch.func.vmap(torch.func.grad(combination), in_dims=(None, 0, 0))(
        problem.parameters, inputs, v
    )
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


def _numbers_per_example(problem: Problem) -> int:
    """What one example's pass holds for a direction: activations, and rows a and g."""
    run = forward_pass(problem, index(problem.inputs, slice(0, 1)))
    total = problem.activations
    for block in problem.layout.blocks:
        rows = run.inputs[block.name].shape[1]
        total += rows * (block.inputs + block.outputs)
    return total


def _row_mask(
    module: nn.Module,
    a: Float[Tensor, "..."],
    split: Float[Tensor, "N G R I"],
    token_mask: Bool[Tensor, "N ..."] | None,
) -> Bool[Tensor, "N R"]:
    """Which rows count: those of counted tokens where a Linear acts token by token, else all."""
    n, _, rows, _ = split.shape
    if token_mask is None or not isinstance(module, nn.Linear):
        return torch.ones(n, rows, dtype=torch.bool, device=split.device)
    # Token by token: the axes before the last are those of the targets, or all of them folded.
    if a.shape[:-1] in (token_mask.shape, (token_mask.numel(),)):
        return token_mask.reshape(n, -1)
    return torch.ones(n, rows, dtype=torch.bool, device=split.device)


def _block_names(layer: str, module: nn.Module) -> list[str]:
    groups = groups_of(module)
    return [layer] if groups == 1 else [f"{layer}[{group}]" for group in range(groups)]
