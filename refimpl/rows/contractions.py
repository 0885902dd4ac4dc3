"""Gradients of examples' measurements as rows g and a of their layers, and their products with vectors.

A gradient of an example is sum_r g_r a_r^T in every block; mostly a product with it is needed, and so
it is seldom formed.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.problem import memory
from refimpl.problem.data import Data, index
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.layout import Block
from refimpl.problem.measurements import Measurement, measure
from refimpl.problem.problem import Problem
from refimpl.rows.hooks import forward_pass
from refimpl.rows.matrices import gradient_matrices
from refimpl.rows.verification import explained_by_the_first, shape_of

__all__ = [
    "bounded_slices",
    "checked_queries",
    "contract",
    "gradient_products",
    "gradients",
    "measurement_rows",
    "numbers_formed",
]

WIDE = 2**8  # columns of a product with several matrices at once: narrow ones are slow


def checked_queries(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "Q ..."]
) -> tuple[Data, Shaped[Tensor, "Q ..."]]:
    """Queries in the problem's dtype, checked, without a pass where they are like the training data.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        inputs: Inputs of the queries, [Q, ...].
        targets: Their targets, [Q, ...].

    Raises:
        ValueError: They do not fit model and loss.
    """
    if inputs is problem.inputs and targets is problem.targets:
        return inputs, targets
    x, y = problem.converted(inputs, targets)
    outputs = problem.parameters.new_zeros(()).expand(len(y), *shape_of(problem, x).outputs)
    problem.loss.check(outputs, y)
    return x, y


def measurement_rows(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "M ..."], measurement: Measurement
) -> dict[str, tuple[Float[Tensor, "M _R _O"], Float[Tensor, "M _R _I"]]]:
    """Rows (g, a) of the gradients of the examples' measurements, per block.

    Args:
        problem: The problem.
        inputs: Inputs of the examples, [M, ...].
        targets: Their targets, [M, ...].
        measurement: As in `Problem.measure`.

    Raises:
        ValueError: The model fails on the first of the inputs.
    """
    with explained_by_the_first(problem, inputs):
        run = forward_pass(problem, inputs)

    def value(f: Float[Tensor, "..."], y: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
        return measure(problem.loss, measurement, f[None], y[None])[0]

    slope = values_and_gradients(value, run.outputs, targets, chunk=len(targets))[1]
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
    products = vectors.new_zeros(len(vectors), count)
    for part in bounded_slices(problem, inputs, count):
        rows = measurement_rows(problem, index(inputs, part), targets[part], "loss")
        for name, V in problem.layout.matrices(vectors).items():
            products[:, part] += contract(V, *rows[name])
    return products


def gradients(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "Q ..."], measurement: Measurement
) -> Float[Tensor, "Q P"]:
    """Gradients of the measurements, sum_r g_r a_r^T block by block.

    Args:
        problem: The problem, whose layers' inputs and gradients must give its gradients.
        inputs: Inputs of the queries, [Q, ...].
        targets: Their targets, [Q, ...].
        measurement: As in `Problem.measure`.

    Raises:
        ValueError: The queries do not fit model and loss.
    """
    inputs, targets = checked_queries(problem, inputs, targets)
    flat = problem.parameters.new_empty(targets.shape[0], problem.num_parameters)
    for part in bounded_slices(problem, inputs, len(flat), lambda *_: 0):
        rows = measurement_rows(problem, index(inputs, part), targets[part], measurement)
        for name, V in problem.layout.matrices(flat[part]).items():
            for matrix, g, a in zip(V, *rows[name], strict=True):
                torch.mm(g.T, a, out=matrix)
    return flat


def contract(
    V: Float[Tensor, "Q O I"], g: Float[Tensor, "M R O"], a: Float[Tensor, "M R I"]
) -> Float[Tensor, "Q M"]:
    """sum_r g_r^T V a_r for every matrix and example.

    Args:
        V: Matrices of a block, [Q, O, I].
        g: Rows of the examples' gradients, [M, R, O].
        a: Rows of their layer inputs, [M, R, I].
    """
    if a.shape[1] > 1:
        return V.flatten(1) @ gradient_matrices(g, a).flatten(1).T
    g, a = g[:, 0], a[:, 0]
    if V.shape[1] > V.shape[2]:
        V, g, a = V.mT, a, g
    products = a.new_empty(len(V), len(a))
    few = max(1, WIDE // V.shape[1])
    buffer = a.new_empty(len(a) * few * V.shape[1])
    for out, some in zip(products.split(few), V.split(few), strict=True):
        columns = some.flatten(0, 1).T
        Va = torch.mm(a, columns, out=buffer[: len(a) * columns.shape[1]].view(len(a), -1))
        torch.sum(Va.view(-1, *some.shape[:2]).mul_(g[:, None]), dim=2, out=out.T)
    return products


def numbers_formed(block: Block, positions: int) -> int:
    """Numbers formed of an example's rows: its matrix, or of one position its share of a product.

    Args:
        block: The block.
        positions: Rows that an example has in it.
    """
    return block.outputs * block.inputs if positions > 1 else WIDE + block.outputs + block.inputs


def bounded_slices(
    problem: Problem,
    inputs: Data,
    count: int,
    numbers: Callable[[Block, int], int] = numbers_formed,
) -> list[slice]:
    """Slices of examples whose rows, and the numbers formed of one block's, stay near 256 MiB.

    Args:
        problem: The problem.
        inputs: Inputs of the examples, [M, ...].
        count: M, the number of examples.
        numbers: Numbers formed of the rows of one example, given a block and its positions.
    """
    positions = shape_of(problem, inputs).positions
    blocks = [(b, positions[b.name]) for b in problem.layout.blocks]
    each = problem.activations + sum(r * (b.outputs + b.inputs) for b, r in blocks)
    step = max(1, memory.CONTRACTIONS // (each + max(numbers(b, r) for b, r in blocks)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
