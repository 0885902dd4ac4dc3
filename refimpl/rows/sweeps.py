"""Pseudo-gradients of the training data, batch by batch: the terms that every curvature sums.

A sweep holds, for some examples, the rows a of their layers' inputs and the rows g of some directions in
output space: columns of a root of the output Hessian, gradients at drawn labels, or at the data's own.
The sum over the directions of one example has the second moment of the Fisher asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from refimpl.losses.likelihood import label_distribution
from refimpl.problem import memory
from refimpl.problem.problem import Problem
from refimpl.rows.draws import require_samples
from refimpl.rows.hooks import Pass, forward_pass
from refimpl.rows.roots import output_root, root_columns
from refimpl.rows.verification import of

__all__ = ["Fisher", "LayerRows", "Sweep", "layer_rows", "repeatable_sweeps", "sweeps_over"]

Fisher = Literal["exact", "sampled", "empirical"]


@dataclass(frozen=True)
class Sweep:
    """Pseudo-gradients of some examples in some directions.

    Args:
        place: Slice of the training data that the examples are.
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


def sweeps_over(
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
    require_samples(samples)
    sizes = of(problem)
    root = sizes.root if fisher == "exact" else 0
    fitting = memory.LAYER_ROWS // (4 * sizes.numbers + root)
    fitting = min(problem.num_examples, max(1, fitting))
    for place, inputs, targets in problem.batches(fitting if batch_size is None else batch_size):
        run = forward_pass(problem, inputs, targets)
        of_place = None if draws is None else draws[place]
        step = max(1, memory.LAYER_ROWS // (sizes.numbers * len(run.outputs)))
        first = True
        for gradients in _gradients(problem, run, targets, fisher, samples, of_place, step):
            yield Sweep(place, first, run.inputs, run.counted, gradients)
            first = False


def repeatable_sweeps(
    problem: Problem,
    *,
    fisher: Fisher = "exact",
    samples: int = 1,
    draws: Float[Tensor, "N samples ..."] | None = None,
    batch_size: int | None = None,
) -> Callable[[], Iterator[Sweep]]:
    """Pseudo-gradients to go through more than once: stored where they fit 128 MiB, else computed again.

    Args:
        problem: The problem.
        fisher: As for `sweeps`.
        samples: As for `sweeps`.
        draws: As for `sweeps`.
        batch_size: As for `sweeps`.

    Returns:
        A function that starts from the first of them at each call.
    """
    stored: list[Sweep] | None = None

    def again() -> Iterator[Sweep]:
        nonlocal stored
        if stored is not None:
            yield from stored
            return
        pieces, numbers = [], 0
        for sweep in sweeps_over(
            problem, fisher=fisher, samples=samples, draws=draws, batch_size=batch_size
        ):
            numbers += sum(g.numel() for g in sweep.gradients.values())
            numbers += sum(a.numel() for a in sweep.inputs.values())
            if numbers <= memory.LAYER_ROWS:
                pieces.append(sweep)
            else:
                pieces.clear()
            yield sweep
        stored = pieces if numbers <= memory.LAYER_ROWS else None

    return again


@dataclass(frozen=True)
class LayerRows:
    """The rows of u_nk = sum_r g_nkr a_nr^T, with sum_k u_nk u_nk^T = J_n^T H_n J_n.

    Args:
        place: Slice of the training data that the examples are.
        inputs: Rows a per block, [N, R, I].
        gradients: Rows g per block, [K, N, R, O], of all directions k: the columns of a root of H_n.
    """

    place: slice
    inputs: dict[str, Float[Tensor, "N _R _I"]]
    gradients: dict[str, Float[Tensor, "K N _R _O"]]


def layer_rows(problem: Problem, batch_size: int) -> Iterator[LayerRows]:
    """The rows of all training examples in order, `batch_size` examples at a time.

    Memory is that of the rows, and of the activations of as many backward passes as fit 128 MiB.

    Args:
        problem: The problem.
        batch_size: Examples per piece.

    Raises:
        ValueError: A model whose gradients the layers do not give.
    """
    of(problem)
    together = problem.activations * min(batch_size, problem.num_examples)
    step = max(1, memory.LAYER_ROWS // together)
    for place, inputs, targets in problem.batches(batch_size):
        run = forward_pass(problem, inputs, targets)
        parts = list(_exact_gradients(problem, run, targets, step))
        gradients = {
            name: torch.cat([part[name] for part in parts]) if len(parts) > 1 else g
            for name, g in parts[0].items()
        }
        yield LayerRows(place, run.inputs, gradients)


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
        yield from _exact_gradients(problem, run, targets, step)
        return
    if fisher == "empirical":
        yield run.backward(problem.loss.gradient(run.outputs, targets).reshape(1, *shape))
        return
    if draws is None:
        raise ValueError("fisher='sampled' needs draws: see label_draws")
    labels = label_distribution(problem.loss)
    scores = labels.pseudo_gradients(run.outputs, targets, draws) / samples**0.5
    for start in range(0, samples, step):
        yield run.backward(scores[start : start + step].reshape(-1, *shape))


def _exact_gradients(
    problem: Problem, run: Pass, targets: Shaped[Tensor, "N ..."], step: int
) -> Iterator[dict[str, Float[Tensor, "K N _R _O"]]]:
    """Rows g per block of the columns of the output Hessian's root, at most `step` at a time."""
    root, of_readout = output_root(problem, run.outputs, targets, run.readout)
    for cotangents in root_columns(root, step):
        yield run.backward(cotangents, from_readout=of_readout)
