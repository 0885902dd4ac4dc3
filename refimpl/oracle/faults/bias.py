"""Faults of the bias: dropped, counted wrongly, or centred away."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake


def _bias_column(right: Any, me: Any, case: Any, *args: Any, change: Any) -> Any:
    """Matrices [..., O, I] of layers with the columns of biases changed."""
    answer = dict(right(case, *args))
    for name, layer in me.blocks(case).items():
        if layer["bias"] and case.conventions.bias == "last_column":
            answer[name] = torch.cat(
                [answer[name][..., :-1], change(answer[name][..., -1:])], dim=-1
            )
    return answer


def _with_a(right: Any, me: Any, case: Any, seed: int, *, change: Any) -> Any:
    """Factors with A changed in the layers that have a bias."""
    answer = dict(right(case, seed))
    for name, layer in me.blocks(case).items():
        if layer["bias"] and case.conventions.bias == "last_column":
            A, S = answer[name]
            answer[name] = change(A.copy()), S
    return answer


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


def _bias_scores(me: Any, case: Any, seed: int) -> Any:
    q = me.flat(case, me.query_gradients(case)).numpy()
    only = _bias_columns_only(me, case, me.training_gradients(case))
    solved = me.solve(me.state(case, seed), q, case.damping)
    return me.scored(case, solved, me.flat(case, only).numpy())


def _bias_columns_only(me: Any, case: Any, gradients: Any) -> Any:
    columns = {}
    biased = [name for name, layer in me.blocks(case).items() if layer["bias"]]
    for name, g in gradients.items():
        columns[name] = torch.zeros_like(g)
        if name in biased:
            columns[name][..., -1] = g[..., -1]
    return columns


@mistake("gradients", edits="example_gradients", thread="TRAIS-Lab/dattri#143")
def bias_gradient_dropped(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """gradients of biases are zero"""
    return _bias_column(right, me, case, *args, change=torch.zeros_like)


@mistake("gradients", edits="matrices")
def bias_gradient_mean_over_positions(right: Any, me: Any, g: Any, a: Any) -> Any:
    """gradients of biases are averaged over positions, not summed"""
    answer = right(g, a)
    if bool((a[..., -1] == 1).all()):
        answer[..., -1] = g.mean(dim=2)
    return answer


@mistake("gradients", edits="example_gradients")
def bias_gradient_negated(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """gradients of biases have the wrong sign"""
    return _bias_column(right, me, case, *args, change=lambda g: -g)


@mistake("factors", edits="factors", thread="EleutherAI/bergson#277")
def constant_missing_from_a(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A lacks the constant: the row and column of the bias are zero"""
    return _with_a(right, me, case, seed, change=_no_constant)


@mistake("factors", edits="factors", thread="f-dangel/curvlinops separate_weight_and_bias")
def bias_apart_in_a(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A has no covariance between inputs and the bias's constant, though both are one matrix"""
    return _with_a(right, me, case, seed, change=_apart)


@mistake("factors", edits="factors")
def inputs_centred(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A is centred: the mean input is subtracted"""
    return _with_a(right, me, case, seed, change=_centred)


@mistake("factors", edits="factors")
def bias_appended_twice(right: Any, me: Any, case: Any, seed: int) -> Any:
    """the constant of the bias counts twice in A's corner"""
    return _with_a(right, me, case, seed, change=_corner)


@mistake("factors", edits="factors")
def a_not_symmetric(right: Any, me: Any, case: Any, seed: int) -> Any:
    """the bias's column of A is not filled in, only its row"""
    return _with_a(right, me, case, seed, change=_row_only)


@mistake("gradients", edits="with_bias", thread="EleutherAI/bergson#277")
def constant_zero_in_rows(right: Any, me: Any, module: Any, rows: Any) -> Any:
    """the last coordinate of the inputs is 0, not 1"""
    return (
        rows if module.bias is None else torch.cat([rows, torch.zeros_like(rows[..., :1])], dim=-1)
    )


@mistake("eigenvalues", edits="squares")
def lambda_bias_not_rotated(right: Any, me: Any, u: Any, Q_A: Any, Q_S: Any) -> Any:
    """the bias is left out of the rotation by Q_A when Lambda is computed"""
    Q = torch.block_diag(Q_A[:-1, :-1], Q_A.new_ones(1, 1))
    return right(u, Q, Q_S)


@mistake("solve", edits="precondition")
def bias_not_solved(right: Any, me: Any, V: Any, Q_A: Any, Q_S: Any, D: Any) -> Any:
    """the bias's part of a vector is returned as it was given"""
    answer = right(V, Q_A, Q_S, D)
    return torch.cat([answer[..., :-1], V[..., -1:]], dim=-1)


@mistake("scores", edits="scores")
def bias_scored_twice(right: Any, me: Any, case: Any, seed: Any) -> Any:
    """the bias counts twice in the scores: in its layer's matrix and by itself"""
    return right(case, seed) + _bias_scores(me, case, seed)
