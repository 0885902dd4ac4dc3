"""Faults of layout: transposes, the order of vec, of layers, of groups and of patches."""

from typing import Any

import numpy as np
import torch
from torch import nn

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import arrays, some_layers

__all__ = ["FAULTS"]

BUG = "layout"


def _square(a: Any) -> bool:
    return a.shape[-1] == a.shape[-2]


def _exchanged(right: Any, me: Any, case: Any, seed: int) -> Any:
    found = right(case, seed)
    return {n: (S, A) if A.shape == S.shape else (A, S) for n, (A, S) in found.items()}


def _input_side_as_rows(right: Any, me: Any, factors: Any) -> Any:
    return {n: (w_A, Q_A.T, w_S, Q_S) for n, (w_A, Q_A, w_S, Q_S) in right(factors).items()}


def _output_side_as_rows(right: Any, me: Any, factors: Any) -> Any:
    return {n: (w_A, Q_A, w_S, Q_S.T) for n, (w_A, Q_A, w_S, Q_S) in right(factors).items()}


def _other_vec_in(right: Any, me: Any, case: Any, vectors: Any, like: Any) -> Any:
    found = right(case, vectors, like)
    turned = case.conventions.vec_order == "in_major"
    return {
        n: V.reshape(-1, *like[n]) if turned
        else V.reshape(-1, *reversed(like[n])).mT
        for n, V in found.items()
    }  # fmt: skip


def _kernel_before_channels(right: Any, me: Any, module: Any, a: Any) -> Any:
    rows = right(module, a)
    if not isinstance(module, nn.Conv2d):
        return rows
    channels = module.in_channels // module.groups
    return rows.unflatten(-1, (channels, -1)).mT.flatten(-2)


def _interleaved_groups(right: Any, me: Any, module: Any, s: Any) -> Any:
    rows = right(module, s)
    if getattr(module, "groups", 1) == 1:
        return rows
    whole = rows.transpose(2, 3).flatten(-2)
    return whole.unflatten(-1, (-1, module.groups)).movedim(-1, 2)


def _groups_reversed(right: Any, me: Any, module: Any, layer: str) -> Any:
    return right(module, layer)[::-1]


def _solved_in_other_order(right: Any, me: Any, state: Any, vectors: Any, damping: float) -> Any:
    """Reads the vectors as layers in reverse order, and answers in the right one."""
    names = list(state.basis)
    sizes = {n: len(state.basis[n][0]) * len(state.basis[n][2]) for n in names}
    pieces, start = {}, 0
    for name in reversed(names):
        pieces[name] = vectors[:, start : start + sizes[name]]
        start += sizes[name]
    return right(state, np.concatenate([pieces[n] for n in names], axis=1), damping)


FAULTS = (
    Fault(
        "a-and-s-exchanged", BUG, "factors",
        "A and S are exchanged, which a square layer allows",
        "factors", _exchanged, "f-dangel/curvlinops#182",
    ),
    Fault(
        "gradients-transposed", BUG, "gradients",
        "gradients are transposed, as for a Conv1D that stores its weight so",
        "example_gradients", some_layers(lambda g: g.mT, _square), "EleutherAI/bergson#254",
    ),
    Fault(
        "eigenvectors-as-rows", BUG, "eigenbasis",
        "eigenvectors stand in the rows",
        "eigh", lambda right, me, matrix: (lambda w, Q: (w, Q.T))(*right(matrix)),
    ),
    Fault(
        "eigenvectors-of-a-as-rows", BUG, "eigenbasis",
        "eigenvectors of A stand in the rows, those of S in the columns",
        "eigenbasis", _input_side_as_rows,
    ),
    Fault(
        "eigenvectors-of-s-as-rows", BUG, "eigenbasis",
        "eigenvectors of S stand in the rows, those of A in the columns",
        "eigenbasis", _output_side_as_rows,
    ),
    Fault(
        "lambda-with-a-transposed", BUG, "eigenvalues",
        "the rotation by Q_A is transposed when Lambda is computed",
        "squares", lambda right, me, u, Q_A, Q_S: right(u, Q_A.T, Q_S),
    ),
    Fault(
        "lambda-with-s-transposed", BUG, "eigenvalues",
        "the rotation by Q_S is transposed when Lambda is computed",
        "squares", lambda right, me, u, Q_A, Q_S: right(u, Q_A, Q_S.T),
    ),
    Fault(
        "lambda-with-both-transposed", BUG, "eigenvalues",
        "both rotations are transposed when Lambda is computed",
        "squares", lambda right, me, u, Q_A, Q_S: right(u, Q_A.T, Q_S.T),
    ),
    Fault(
        "lambda-transposed", BUG, "eigenvalues",
        "Lambda of a square layer is transposed",
        "eigenvalues", some_layers(lambda m: m.T, _square),
    ),
    Fault(
        "way-back-transposed", BUG, "solve",
        "the rotation back out of the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S.T @ ((Q_S.T @ V @ Q_A) / D) @ Q_A,
    ),
    Fault(
        "way-in-transposed", BUG, "solve",
        "the rotation into the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S @ ((Q_S @ V @ Q_A.T) / D) @ Q_A.T,
    ),
    Fault(
        "way-in-of-s-transposed", BUG, "solve",
        "the rotation by Q_S into the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S @ ((Q_S @ V @ Q_A) / D) @ Q_A.T,
    ),
    Fault(
        "way-in-of-a-transposed", BUG, "solve",
        "the rotation by Q_A into the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S @ ((Q_S.T @ V @ Q_A.T) / D) @ Q_A.T,
    ),
    Fault(
        "way-back-of-s-transposed", BUG, "solve",
        "the rotation by Q_S back out of the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S.T @ ((Q_S.T @ V @ Q_A) / D) @ Q_A.T,
    ),
    Fault(
        "way-back-of-a-transposed", BUG, "solve",
        "the rotation by Q_A back out of the eigenbasis is transposed",
        "precondition",
        lambda right, me, V, Q_A, Q_S, D: Q_S @ ((Q_S.T @ V @ Q_A) / D) @ Q_A,
    ),
    Fault(
        "vec-order-confused", BUG, "solve",
        "vectors are read column by column and written row by row",
        "unflat", _other_vec_in, "f-dangel/curvlinops#182",
    ),
    Fault(
        "vec-order-other-than-declared", BUG, "gauss_newton",
        "flat vectors hold each layer's matrix in the other order than is declared",
        "vec",
        lambda right, me, case, m: m if case.conventions.vec_order == "in_major" else m.mT,
        "f-dangel/curvlinops#182",
    ),
    Fault(
        "layers-in-reverse-order", BUG, "gauss_newton",
        "flat vectors hold the layers in the order of the backward pass",
        "flat",
        lambda right, me, case, matrices: right(case, dict(reversed(list(matrices.items())))),
    ),
    Fault(
        "vectors-read-in-reverse-order", BUG, "solve",
        "the layers of given vectors are read in reverse order",
        "solve", _solved_in_other_order,
    ),
    Fault(
        "scores-in-sampler-order", BUG, "scores",
        "score columns come in a shuffled sampler's order",
        "scored",
        lambda right, me, case, q, g: right(
            case, q, g[np.random.default_rng(0).permutation(len(g))]
        ),
        "EleutherAI/bergson sampler order",
    ),
    Fault(
        "gradients-in-reverse-order", BUG, "gradients",
        "the examples of a batch come out in reverse order",
        "example_gradients",
        lambda right, me, *args: arrays(right(*args), lambda g: g.flip(0)),
    ),
    Fault(
        "patches-kernel-first", BUG, "gradients",
        "patches of a convolution are flattened with the kernel's places before the channels",
        "input_rows", _kernel_before_channels,
    ),
    Fault(
        "groups-interleaved", BUG, "gradients",
        "output channels of a grouped convolution are dealt to the groups in turn",
        "output_rows", _interleaved_groups,
    ),
    Fault(
        "groups-reversed", BUG, "gradients",
        "the groups of a convolution are named in reverse order",
        "names", _groups_reversed,
    ),
    Fault(
        "bias-first-column", BUG, "gradients",
        "the bias is the first column of a layer's matrix, not the last",
        "with_bias",
        lambda right, me, module, rows: torch.cat([right(module, rows)[..., -1:], rows], dim=-1)
        if module.bias is not None else rows,
    ),
)  # fmt: skip
