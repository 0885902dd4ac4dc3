"""Gradients of examples' measurements as rows g and a of their layers, and their products with vectors.

A gradient of an example is sum_r g_r a_r^T in every block; what is wanted of it is mostly a product, and
so it is seldom formed.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.problem.data import Data, index
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.layout import Block
from refimpl.problem.measurements import Measurement, measure
from refimpl.problem.problem import Problem
from refimpl.rows.hooks import forward_pass, matrices, verify

__all__ = [
    "captures",
    "formed",
    "gradient_products",
    "gradients",
    "pieces",
    "products",
    "rows_of",
]

BUDGET = 2**25  # numbers that a piece may hold (256 MiB in float64)
WIDE = 2**8  # columns of a product with several matrices at once: narrow ones are slow


def captures(problem: Problem) -> bool:
    """Whether the layers' inputs and gradients give the model's gradients, as `verify` tells."""
    try:
        verify(problem)
    except ValueError:
        return False
    return True


def rows_of(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "M ..."], measurement: Measurement
) -> dict[str, tuple[Float[Tensor, "M _R _O"], Float[Tensor, "M _R _I"]]]:
    """Rows (g, a) of the gradients of the examples' measurements, per block."""
    run = forward_pass(problem, inputs)

    def measured(f: Float[Tensor, "..."], y: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
        return measure(problem.loss, measurement, f[None], y[None])[0]

    slope = values_and_gradients(measured, run.outputs, targets, chunk=len(targets))[1]
    return {name: (g[0], run.inputs[name]) for name, g in run.backward(slope[None]).items()}


def gradient_products(
    problem: Problem,
    vectors: Float[Tensor, "Q P"],
    inputs: Data,
    targets: Shaped[Tensor, "M ..."],
) -> Float[Tensor, "Q M"]:
    """<v_q, grad l_m> of every vector and example, as sum_r g_mr^T V_q a_mr block by block.

    Where a block has one position the gradient g a^T is never formed: V_q a_m, or V_q^T g_m where that
    is shorter, and then a dot product.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        vectors: Vectors v, [Q, P].
        inputs: Inputs of the examples, [M, ...].
        targets: Their targets, [M, ...].
    """
    count = targets.shape[0]
    found = vectors.new_zeros(len(vectors), count)
    for part in pieces(problem, inputs, count):
        rows = rows_of(problem, index(inputs, part), targets[part], "loss")
        for name, V in problem.layout.matrices(vectors).items():
            found[:, part] += products(V, *rows[name])
    return found


def gradients(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "Q ..."], measurement: Measurement
) -> Float[Tensor, "Q P"]:
    """Gradients of the measurements, sum_r g_r a_r^T block by block."""
    inputs, targets = problem.examples(inputs, targets)
    found = problem.parameters.new_empty(targets.shape[0], problem.num_parameters)
    for part in pieces(problem, inputs, len(found), lambda *_: 0):
        rows = rows_of(problem, index(inputs, part), targets[part], measurement)
        for name, V in problem.layout.matrices(found[part]).items():
            for one, g, a in zip(V, *rows[name], strict=True):
                torch.mm(g.T, a, out=one)
    return found


def products(
    V: Float[Tensor, "Q O I"], g: Float[Tensor, "M R O"], a: Float[Tensor, "M R I"]
) -> Float[Tensor, "Q M"]:
    """sum_r g^T V a for every matrix and example."""
    if a.shape[1] > 1:
        return V.flatten(1) @ matrices(g, a).flatten(1).T
    g, a = g[:, 0], a[:, 0]
    if V.shape[1] > V.shape[2]:
        V, g, a = V.mT, a, g
    found = a.new_empty(len(V), len(a))
    few = max(1, WIDE // V.shape[1])
    buffer = a.new_empty(len(a) * few * V.shape[1])
    for out, some in zip(found.split(few), V.split(few), strict=True):
        columns = some.flatten(0, 1).T
        moved = torch.mm(a, columns, out=buffer[: len(a) * columns.shape[1]].view(len(a), -1))
        torch.sum(moved.view(-1, *some.shape[:2]).mul_(g[:, None]), dim=2, out=out.T)
    return found


def formed(block: Block, positions: int) -> int:
    """Numbers made of an example's rows of a block: its matrix, or of one position a row alone."""
    return block.outputs * block.inputs if positions > 1 else WIDE + block.outputs + block.inputs


def pieces(
    problem: Problem, inputs: Data, count: int, made: Callable[[Block, int], int] = formed
) -> list[slice]:
    """Examples in pieces whose rows, and what is made of a block's at a time, stay near 256 MiB.

    Args:
        problem: The problem.
        inputs: Their inputs, of which the first is looked at.
        count: How many there are.
        made: Numbers made of the rows of one example, given a block and its positions.
    """
    rows = forward_pass(problem, index(inputs, slice(0, 1))).inputs
    blocks = [(b, rows[b.name].shape[1]) for b in problem.layout.blocks]
    each = problem.activations + sum(r * (b.outputs + b.inputs) for b, r in blocks)
    step = max(1, BUDGET // (each + max(made(b, r) for b, r in blocks)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
