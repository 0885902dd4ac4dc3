"""Faults of layout: transposes, the order of vec, of layers, of groups and of patches."""

from typing import Any

import numpy as np
import torch
from torch import nn

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import arrays


def _square(a: Any) -> bool:
    return a.shape[-1] == a.shape[-2]


@mistake("factors", edits="factors", thread="f-dangel/curvlinops#182")
def a_and_s_exchanged(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A and S are exchanged, which a square layer allows"""
    answer = right(case, seed)
    return {n: (S, A) if A.shape == S.shape else (A, S) for n, (A, S) in answer.items()}


@mistake("gradients", edits="example_gradients", thread="EleutherAI/bergson#254")
def gradients_transposed(right: Any, me: Any, *args: Any) -> Any:
    """gradients are transposed, as for a Conv1D that stores its weight so"""
    return arrays(right(*args), lambda g: g.mT if _square(g) else g)


@mistake("eigenbasis", edits="eigh")
def eigenvectors_as_rows(right: Any, me: Any, matrix: Any) -> Any:
    """eigenvectors stand in the rows"""
    return (lambda w, Q: (w, Q.T))(*right(matrix))


@mistake("eigenbasis", edits="eigenbasis")
def eigenvectors_of_a_as_rows(right: Any, me: Any, factors: Any) -> Any:
    """eigenvectors of A stand in the rows, those of S in the columns"""
    return {n: (w_A, Q_A.T, w_S, Q_S) for n, (w_A, Q_A, w_S, Q_S) in right(factors).items()}


@mistake("eigenbasis", edits="eigenbasis")
def eigenvectors_of_s_as_rows(right: Any, me: Any, factors: Any) -> Any:
    """eigenvectors of S stand in the rows, those of A in the columns"""
    return {n: (w_A, Q_A, w_S, Q_S.T) for n, (w_A, Q_A, w_S, Q_S) in right(factors).items()}


@mistake("eigenvalues", edits="squares")
def lambda_with_a_transposed(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """the rotation by Q_A is transposed when Lambda is computed"""
    return right(u, Q_A.T, Q_S)


@mistake("eigenvalues", edits="squares")
def lambda_with_s_transposed(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """the rotation by Q_S is transposed when Lambda is computed"""
    return right(u, Q_A, Q_S.T)


@mistake("eigenvalues", edits="squares")
def lambda_with_both_transposed(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """both rotations are transposed when Lambda is computed"""
    return right(u, Q_A.T, Q_S.T)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_transposed(right: Any, me: Any, *args: Any) -> Any:
    """Lambda of a square layer is transposed"""
    return arrays(right(*args), lambda m: m.T if _square(m) else m)


@mistake("solve", edits="precondition")
def way_back_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation back out of the eigenbasis is transposed"""
    return Q_S.T @ ((Q_S.T @ V @ Q_A) / D) @ Q_A


@mistake("solve", edits="precondition")
def way_in_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation into the eigenbasis is transposed"""
    return Q_S @ ((Q_S @ V @ Q_A.T) / D) @ Q_A.T


@mistake("solve", edits="precondition")
def way_in_of_s_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation by Q_S into the eigenbasis is transposed"""
    return Q_S @ ((Q_S @ V @ Q_A) / D) @ Q_A.T


@mistake("solve", edits="precondition")
def way_in_of_a_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation by Q_A into the eigenbasis is transposed"""
    return Q_S @ ((Q_S.T @ V @ Q_A.T) / D) @ Q_A.T


@mistake("solve", edits="precondition")
def way_back_of_s_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation by Q_S back out of the eigenbasis is transposed"""
    return Q_S.T @ ((Q_S.T @ V @ Q_A) / D) @ Q_A.T


@mistake("solve", edits="precondition")
def way_back_of_a_transposed(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the rotation by Q_A back out of the eigenbasis is transposed"""
    return Q_S @ ((Q_S.T @ V @ Q_A) / D) @ Q_A


@mistake("solve", edits="unflat", thread="f-dangel/curvlinops#182")
def vec_order_confused(right: Any, me: Any, case: Any, vectors: Any, like: Any) -> Any:
    """vectors are read column by column and written row by row"""
    answer = right(case, vectors, like)
    turned = case.conventions.vec_order == "in_major"
    if turned:
        return {n: V.reshape(-1, *like[n]) for n, V in answer.items()}
    return {n: V.reshape(-1, *reversed(like[n])).mT for n, V in answer.items()}


@mistake("gauss_newton", edits="vec", thread="f-dangel/curvlinops#182")
def vec_order_other_than_declared(right: Any, me: Any, case: Any, m: Any) -> Any:
    """flat vectors hold each layer's matrix in the other order than is declared"""
    return m if case.conventions.vec_order == "in_major" else m.mT


@mistake("gauss_newton", edits="flat")
def layers_in_reverse_order(right: Any, me: Any, case: Any, matrices: Any) -> Any:
    """flat vectors hold the layers in the order of the backward pass"""
    return right(case, dict(reversed(list(matrices.items()))))


@mistake("solve", edits="solve")
def vectors_read_in_reverse_order(
    right: Any, me: Any, state: Any, vectors: Any, damping: float
) -> Any:
    """the layers of given vectors are read in reverse order

    Reads the vectors as layers in reverse order, and answers in the right one.
    """
    names = list(state.basis)
    sizes = {n: len(state.basis[n][0]) * len(state.basis[n][2]) for n in names}
    pieces, start = {}, 0
    for name in reversed(names):
        pieces[name] = vectors[:, start : start + sizes[name]]
        start += sizes[name]
    return right(state, np.concatenate([pieces[n] for n in names], axis=1), damping)


@mistake("scores", edits="scored", thread="EleutherAI/bergson sampler order")
def scores_in_sampler_order(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """score columns come in a shuffled sampler's order"""
    return right(case, q, g[np.random.default_rng(0).permutation(len(g))])


@mistake("gradients", edits="example_gradients")
def gradients_in_reverse_order(right: Any, me: Any, *args: Any) -> Any:
    """the examples of a batch come out in reverse order"""
    return arrays(right(*args), lambda g: g.flip(0))


@mistake("gradients", edits="input_rows")
def patches_kernel_first(right: Any, me: Any, module: Any, a: Any) -> Any:
    """patches of a convolution are flattened with the kernel's places before the channels"""
    rows = right(module, a)
    if not isinstance(module, nn.Conv2d):
        return rows
    channels = module.in_channels // module.groups
    return rows.unflatten(-1, (channels, -1)).mT.flatten(-2)


@mistake("gradients", edits="output_rows")
def groups_interleaved(right: Any, me: Any, module: Any, s: Any) -> Any:
    """output channels of a grouped convolution are dealt to the groups in turn"""
    rows = right(module, s)
    if getattr(module, "groups", 1) == 1:
        return rows
    whole = rows.transpose(2, 3).flatten(-2)
    return whole.unflatten(-1, (-1, module.groups)).movedim(-1, 2)


@mistake("gradients", edits="names")
def groups_reversed(right: Any, me: Any, module: Any, layer: str) -> Any:
    """the groups of a convolution are named in reverse order"""
    return right(module, layer)[::-1]


@mistake("gradients", edits="with_bias")
def bias_first_column(right: Any, me: Any, module: Any, rows: Any) -> Any:
    """the bias is the first column of a layer's matrix, not the last"""
    return (
        torch.cat([right(module, rows)[..., -1:], rows], dim=-1)
        if module.bias is not None
        else rows
    )
