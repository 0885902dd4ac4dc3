"""Roots of the output Hessian, and their columns as directions of a backward pass."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.problem import memory
from refimpl.problem.problem import Problem
from refimpl.rows.hooks import Readout

__all__ = ["output_root", "root_columns"]


def output_root(
    problem: Problem,
    outputs: Float[Tensor, "N ..."],
    targets: Shaped[Tensor, "N ..."],
    readout: Readout | None,
) -> tuple[Float[Tensor, "N T C K"], bool]:
    """R with R R^T each token's output Hessian H, or V^T H V of a readout's input where that is shorter.

    What lies before a readout f = V h + c has J^T H J = J_h^T (V^T H V) J_h. Of more classes than h is
    wide, V^T R has a root of as many columns as rows: with R^T V = Q U the triangle U^T, since
    U^T U = V^T R R^T V. A vocabulary so costs no more directions than the model is wide.

    Args:
        problem: The problem.
        outputs: f(x), [N, ...].
        targets: Targets, [N, ...].
        readout: The frozen last layer of the pass, if there is one.

    Returns:
        R [N, T, C, K], and whether it is the root of V^T H V, [N, T, H, H].
    """
    if readout is None:
        return problem.loss.compact_root(outputs, targets), False
    classes, width = readout.weight.shape
    # The roots of a few examples at a time: they have a column for every class, the triangles do not.
    step = max(1, memory.LAYER_ROWS // (classes * outputs[0].numel()))
    triangles: list[Tensor] = []
    for some, labels in zip(outputs.split(step), targets.split(step), strict=True):
        root = problem.loss.compact_root(some, labels)
        if root.shape[3] <= width:  # of independent outputs, each has a column of its own
            return problem.loss.compact_root(outputs, targets), False
        triangles.append(torch.linalg.qr(root.mT @ readout.weight, mode="r").R.mT)
    return torch.cat(triangles), True


def root_columns(root: Float[Tensor, "N T C K"], step: int) -> Iterator[Float[Tensor, "D N T C"]]:
    """The columns of all tokens' roots, each zero at the other tokens.

    Args:
        root: R of every token, [N, T, C, K].
        step: Most columns at a time.

    Yields:
        Cotangents of the outputs, [at most `step`, N, T, C].
    """
    n, tokens, classes, directions = root.shape
    columns = [(t, k) for t in range(tokens) for k in range(directions)]
    for start in range(0, len(columns), step):
        chosen = columns[start : start + step]
        t, k = torch.tensor(chosen, device=root.device).T
        chunk = root.new_zeros(len(chosen), n, tokens, classes)
        chunk[torch.arange(len(chosen), device=root.device), :, t] = root[:, t, :, k]
        yield chunk
