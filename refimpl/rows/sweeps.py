"""Pseudo-gradients of the training data, batch by batch: what every curvature is summed from.

A sweep holds, for some examples, the rows a of their layers' inputs and the rows g of some directions in
output space: columns of a root of the output Hessian (see `_root`), gradients at drawn labels, or at the
data's own. The sum over the directions of one example has the second moment of the Fisher asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from refimpl.losses.likelihood import label_distribution
from refimpl.problem.data import index
from refimpl.problem.problem import Problem
from refimpl.rows import hooks
from refimpl.rows.hooks import Pass, forward_pass, verify

__all__ = [
    "Fisher",
    "Rows",
    "Sizes",
    "Sweep",
    "captured",
    "label_draws",
    "sizes",
    "sweeps",
    "sweeps_kept",
]

Fisher = Literal["exact", "sampled", "empirical"]


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

    Memory is that of `batch_size` examples' activations and roots, plus about 128 MiB (float64) of
    gradients.

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
    root = sizes(problem).root if fisher == "exact" else 0
    fitting = min(problem.num_examples, max(1, hooks.BUDGET // (4 * row_cost + root)))
    size = fitting if batch_size is None else batch_size
    for place, inputs, targets in problem.batches(size):
        run = forward_pass(problem, inputs, targets)
        local = None if draws is None else draws[place]
        step = max(1, hooks.BUDGET // (row_cost * len(run.outputs)))
        first = True
        for gradients in _gradients(problem, run, targets, fisher, samples, local, step):
            yield Sweep(place, first, run.inputs, run.counted, gradients)
            first = False


@dataclass(frozen=True)
class Sizes:
    """How many rows an example has.

    Args:
        directions: Columns of the root that is taken of its output Hessian, all tokens together.
        positions: Rows per block.
        root: Numbers in that root, T C K.
    """

    directions: int
    positions: dict[str, int]
    root: int


def sizes(problem: Problem) -> Sizes:
    """How many directions and positions the problem's examples have, from the first of them."""
    inputs, targets = problem.examples_up_to(1)
    run = forward_pass(problem, inputs, targets)
    root = _root(problem, run, targets)[0]
    _, tokens, _, columns = root.shape
    positions = {name: a.shape[1] for name, a in run.inputs.items()}
    return Sizes(tokens * columns, positions, root.numel())


@dataclass(frozen=True)
class Rows:
    """What u_nk = sum_r g_nkr a_nr^T is made of, with sum_k u_nk u_nk^T = J_n^T H_n J_n.

    Args:
        place: Where the examples stand in the training data.
        inputs: Rows a per block, [N, R, I].
        gradients: Rows g per block, [K, N, R, O], of all directions k: the columns of a root of H_n.
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
    step = max(1, hooks.BUDGET // (problem.activations * min(batch_size, problem.num_examples)))
    for place, inputs, targets in problem.batches(batch_size):
        run = forward_pass(problem, inputs, targets)
        parts = list(_exact(problem, run, targets, step))
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
            if numbers <= hooks.BUDGET:
                held.append(sweep)
            else:
                held.clear()
            yield sweep
        kept = held if numbers <= hooks.BUDGET else None

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
        ValueError: samples < 1, or a loss without a label distribution.
    """
    _check_samples(samples)
    one = problem.outputs(problem.examples_up_to(1)[0])
    like = one.expand(problem.num_examples, *one.shape[1:])
    return label_distribution(problem.loss).draws(like, samples, generator)


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise ValueError(f"samples must be >= 1, got {samples}")


def _gradients(
    problem: Problem,
    run: Pass,
    targets: Shaped[Tensor, "N ..."],
    fisher: Fisher,
    samples: int,
    draws: Float[Tensor, "N samples ..."] | None,
    step: int,
) -> Iterator[dict[str, Float[Tensor, "K N _R _O"]]]:
    """Rows g per block of the Fisher's directions, at most `step` at a time, each [K, N, R, O]."""
    shape = run.outputs.shape
    if fisher == "exact":
        yield from _exact(problem, run, targets, step)
        return
    if fisher == "empirical":
        yield run.backward(problem.loss.gradient(run.outputs, targets).reshape(1, *shape))
        return
    if draws is None:
        raise ValueError("fisher='sampled' needs draws: see label_draws")
    scores = (
        label_distribution(problem.loss).pseudo_gradients(run.outputs, targets, draws)
        / samples**0.5
    )
    for start in range(0, samples, step):
        yield run.backward(scores[start : start + step].reshape(-1, *shape))


def _exact(
    problem: Problem, run: Pass, targets: Shaped[Tensor, "N ..."], step: int
) -> Iterator[dict[str, Float[Tensor, "K N _R _O"]]]:
    root, hidden = _root(problem, run, targets)
    for cotangents in _columns(root, step):
        yield run.backward(cotangents, from_readout=hidden)


def _root(
    problem: Problem, run: Pass, targets: Shaped[Tensor, "N ..."]
) -> tuple[Float[Tensor, "N T C K"], bool]:
    """R with R R^T each token's output Hessian H, or V^T H V of a readout's input where that is shorter.

    What lies before a readout f = V h + c has J^T H J = J_h^T (V^T H V) J_h. Of more classes than h is
    wide, V^T R has a root of as many columns as rows: with R^T V = Q U the triangle U^T, since
    U^T U = V^T R R^T V. A vocabulary so costs no more directions than the model is wide.
    """
    if run.readout is None:
        return problem.loss.compact_root(run.outputs, targets), False
    classes, width = run.readout.weight.shape
    # The roots of a few examples at a time: they have a column for every class, and what is kept has not.
    step = max(1, hooks.BUDGET // (classes * run.outputs[0].numel()))
    triangles: list[Tensor] = []
    for outputs, labels in zip(run.outputs.split(step), targets.split(step), strict=True):
        root = problem.loss.compact_root(outputs, labels)
        if root.shape[3] <= width:  # of independent outputs, each has a column of its own
            return problem.loss.compact_root(run.outputs, targets), False
        triangles.append(torch.linalg.qr(root.mT @ run.readout.weight, mode="r").R.mT)
    return torch.cat(triangles), True


def _columns(root: Float[Tensor, "N T C K"], step: int) -> Iterator[Float[Tensor, "D N T C"]]:
    """The columns of all tokens' roots, each zero at the other tokens, at most `step` at a time."""
    n, tokens, classes, directions = root.shape
    columns = [(t, k) for t in range(tokens) for k in range(directions)]
    for start in range(0, len(columns), step):
        chosen = columns[start : start + step]
        t, k = torch.tensor(chosen, device=root.device).T
        chunk = root.new_zeros(len(chosen), n, tokens, classes)
        chunk[torch.arange(len(chosen), device=root.device), :, t] = root[:, t, :, k]
        yield chunk


def _numbers_per_example(problem: Problem) -> int:
    """What one example's pass holds for a direction: activations, and rows a and g."""
    run = forward_pass(problem, index(problem.inputs, slice(0, 1)))
    total = problem.activations
    for block in problem.layout.blocks:
        rows = run.inputs[block.name].shape[1]
        total += rows * (block.inputs + block.outputs)
    return total
