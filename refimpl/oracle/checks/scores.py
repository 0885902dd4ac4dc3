"""Stage "scores": end to end, its ranking, and against the implementation's own parts."""

import numpy as np

from refimpl.oracle.checks.check import Check, labels_known, worst
from refimpl.oracle.checks.operators import operator
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.scores import DECIDED, SCORES
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.kronecker import damped_inverse, gap
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Undecided

__all__ = ["CHECKS"]


def _scale(trial: Trial) -> Array:
    """The scale of every score [Q, N], where it decides anything."""
    return SCORES.scale(trial.truth, SCORES.arguments(trial))["answer"]


def _equal(trial: Trial, mode: Mode) -> float:
    scale = _scale(trial)
    return worst(trial.scores() - trial.truth.scores, scale, trial.unit)


def _ranking(trial: Trial, mode: Mode) -> float:
    """0 where every certified pair is in the right order, else the worst pair's margin."""
    right, scale, scores = trial.truth.scores, _scale(trial), trial.scores()
    reach = THRESHOLD * trial.unit * scale
    apart = right[:, :, None] - right[:, None, :]
    differences = scores[:, :, None] - scores[:, None, :]
    margin = reach[:, :, None] + reach[:, None, :]
    certified = np.abs(apart) > margin
    if not certified.any():
        raise Undecided("no two scores of a query differ by more than their rounding")
    wrong = certified & (np.sign(apart) * differences <= 0)
    return float((np.abs(apart) / margin)[wrong].max() * THRESHOLD) if wrong.any() else 0.0


def _own_parts(trial: Trial, mode: Mode) -> float:
    truth, conventions = trial.truth, trial.conventions
    H = operator(trial, "chained")
    assert H.parts is not None
    basis = trial.basis_for("chained").values()
    least = min(gap(w) for w_A, _, w_S, _ in basis for w in (w_A, w_S))
    loss = H.kappa + 1 / least if least > 0 else np.inf
    if trial.declaration.curvature == "kfac":
        loss = H.kappa  # a function of the factors, however its eigenvectors turn
    if not THRESHOLD * trial.unit * loss <= DECIDED:
        raise Undecided(
            "its own factors have eigenvalues so close that parts and scores may differ"
        )
    q = flatten(truth.query_gradients, conventions)
    solved = flatten(damped_inverse(H.parts, unflatten(q, trial.case, conventions)), conventions)
    g = truth.flat_gradients
    right = -solved @ g.T
    right = -right if conventions.sign == "product" else right
    over = trial.case.num_examples if conventions.score_scale == "1/N" else 1
    moved_q = np.linalg.norm(
        flatten(scale_of(truth, lambda t: t.query_gradients), conventions), axis=1
    ) + np.linalg.norm(q, axis=1)
    moved_g = np.linalg.norm(scale_of(truth, lambda t: t.flat_gradients), axis=1)
    moved_g += np.linalg.norm(g, axis=1)
    scale = np.outer(moved_q, moved_g) / H.low * loss / over
    ratio = worst(trial.scores() - right / over, scale, trial.unit)
    if not ratio < THRESHOLD and not trial.labels_known:
        raise Undecided(
            "its scores are not those of the factors and eigenvalues that it reports at the same seed: "
            "they may be of other labels, which it draws after these"
        )
    return ratio


def _has_parts(trial: Trial) -> bool:
    kind = trial.declaration.curvature
    needed = ("factors", "eigenbasis", "eigenvalues")[: 3 if kind == "ekfac" else 2]
    return kind != "gauss_newton" and all(trial.has(stage) for stage in needed)


CHECKS = (
    Check(
        "scores-equal",
        "stages",
        "scores",
        "The influence of every training example on every query's loss is right, end to end.",
        "-grad l_q^T (H + lambda)^-1 grad l_n",
        "Koh & Liang 2017, eq. 2; Grosse et al. 2023, eq. 5",
        "what relative perturbations u of weights, inputs and of every stage's answer change in the "
        "whole pipeline, and of the columns of an inverse that is formed; indeterminate where 30 u scale "
        "exceeds 1 % of the scores",
        _equal,
        applies=labels_known,
        shows=True,
    ),
    Check(
        "scores-ranking",
        "stages",
        "scores",
        "Training examples whose scores differ by more than both can be wrong stand in the right order.",
        "sign(s_i - s_j) for |s_i - s_j| > e_i + e_j, e = 30 u scale",
        "Koh & Liang 2017, eq. 2",
        "exact: only pairs that rounding cannot exchange are compared",
        _ranking,
        applies=labels_known,
    ),
    Check(
        "scores-own-parts",
        "stages",
        "scores",
        "The scores follow from the factors, eigenvectors and eigenvalues that the implementation "
        "reports at the same seed; sampled labels may be others, and then nothing is decided.",
        "-grad l_q^T Q_S ((Q_S^T grad l_n Q_A) / (Lambda + lambda)) Q_A^T, with its own parts",
        "Grosse et al. 2023, eq. 20",
        "u (kappa + ||A|| / gap_A + ||S|| / gap_S) ||grad l_q|| ||grad l_n|| / min eig",
        _own_parts,
        applies=_has_parts,
        modes=("chained",),
        shows=True,
    ),
)
