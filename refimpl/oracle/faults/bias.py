"""Faults of the bias: dropped, counted wrongly, or centred away."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault

__all__ = ["FAULTS"]

BUG = "bias"


def _bias_column(change: Any) -> Any:
    """An edit of what gives matrices [..., O, I] of layers: changes the columns of biases."""

    def edit(right: Any, me: Any, case: Any, *args: Any) -> Any:
        found = dict(right(case, *args))
        for name, bias in me.blocks(case):
            if bias and case.conventions.bias == "last_column":
                found[name] = torch.cat(
                    [found[name][..., :-1], change(found[name][..., -1:])], dim=-1
                )
        return found

    return edit


def _a(change: Any) -> Any:
    """An edit of `factors`: changes A of the layers with a bias."""

    def edit(right: Any, me: Any, case: Any, seed: int) -> Any:
        found = dict(right(case, seed))
        for name, bias in me.blocks(case):
            if bias and case.conventions.bias == "last_column":
                A, S = found[name]
                found[name] = change(A.copy()), S
        return found

    return edit


def _no_constant(A: Any) -> Any:
    A[-1], A[:, -1] = 0.0, 0.0
    return A


def _apart(A: Any) -> Any:
    corner = A[-1, -1]
    A[-1], A[:, -1] = 0.0, 0.0
    A[-1, -1] = corner
    return A


def _centred(A: Any) -> Any:
    mean = A[-1].copy()
    mean[-1] = 0.0
    return A - np.outer(mean, mean)


def _corner(A: Any) -> Any:
    A[-1, -1] += 1.0
    return A


def _row_only(A: Any) -> Any:
    A[:-1, -1] = 0.0
    return A


def _mean_over_tokens(right: Any, me: Any, g: Any, a: Any) -> Any:
    found = right(g, a)
    if bool((a[..., -1] == 1).all()):
        found[..., -1] = g.mean(dim=2)
    return found


def _bias_unrotated(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    Q = torch.block_diag(Q_A[:-1, :-1], Q_A.new_ones(1, 1))
    return right(u, Q, Q_S)


def _bias_undamped_by_curvature(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """The bias's part of the answer is left as it was given."""
    found = right(V, Q_A, Q_S, D)
    return torch.cat([found[..., :-1], V[..., -1:]], dim=-1)


def _bias_scores(me: Any, case: Any, seed: int) -> Any:
    q = me.flat(case, me.query_gradients(case)).numpy()
    only = _bias_columns_only(me, case, me.training_gradients(case))
    solved = me.solve(me.state(case, seed), q, case.damping)
    return me.scored(case, solved, me.flat(case, only).numpy())


def _bias_columns_only(me: Any, case: Any, gradients: Any) -> Any:
    kept = {}
    biased = dict(me.blocks(case))
    for name, g in gradients.items():
        kept[name] = torch.zeros_like(g)
        if biased.get(name, False):
            kept[name][..., -1] = g[..., -1]
    return kept


FAULTS = (
    Fault(
        "bias-gradient-dropped", BUG, "gradients",
        "gradients of biases are zero",
        "example_gradients", _bias_column(torch.zeros_like), "TRAIS-Lab/dattri#143",
    ),
    Fault(
        "bias-gradient-mean-over-positions", BUG, "gradients",
        "gradients of biases are averaged over positions, not summed",
        "matrices", _mean_over_tokens,
    ),
    Fault(
        "bias-gradient-negated", BUG, "gradients",
        "gradients of biases have the wrong sign",
        "example_gradients", _bias_column(lambda g: -g),
    ),
    Fault(
        "constant-missing-from-a", BUG, "factors",
        "A lacks the constant: the row and column of the bias are zero",
        "factors", _a(_no_constant), "EleutherAI/bergson#277",
    ),
    Fault(
        "bias-apart-in-a", BUG, "factors",
        "A has no covariance between inputs and the bias's constant, though both are one matrix",
        "factors", _a(_apart), "f-dangel/curvlinops separate_weight_and_bias",
    ),
    Fault(
        "inputs-centred", BUG, "factors",
        "A is centred: the mean input is subtracted",
        "factors", _a(_centred),
    ),
    Fault(
        "bias-appended-twice", BUG, "factors",
        "the constant of the bias counts twice in A's corner",
        "factors", _a(_corner),
    ),
    Fault(
        "a-not-symmetric", BUG, "factors",
        "the bias's column of A is not filled in, only its row",
        "factors", _a(_row_only),
    ),
    Fault(
        "constant-zero-in-rows", BUG, "gradients",
        "the last coordinate of the inputs is 0, not 1",
        "with_bias",
        lambda right, me, module, rows: (
            rows if module.bias is None
            else torch.cat([rows, torch.zeros_like(rows[..., :1])], dim=-1)
        ),
        "EleutherAI/bergson#277",
    ),
    Fault(
        "lambda-bias-not-rotated", BUG, "eigenvalues",
        "the bias is left out of the rotation by Q_A when Lambda is computed",
        "squares", _bias_unrotated,
    ),
    Fault(
        "bias-not-solved", BUG, "solve",
        "the bias's part of a vector is returned as it was given",
        "precondition", _bias_undamped_by_curvature,
    ),
    Fault(
        "bias-scored-twice", BUG, "scores",
        "the bias counts twice in the scores: in its layer's matrix and by itself",
        "scores",
        lambda right, me, case, seed: right(case, seed) + _bias_scores(me, case, seed),
    ),
)  # fmt: skip
