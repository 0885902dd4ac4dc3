"""Stage "factors": against the reference entry by entry, and what must hold of any covariances."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refimpl.losses.likelihood import label_distribution
from refimpl.oracle.checks.check import Check, labels_known, worst
from refimpl.oracle.checks.gradients import biases_tracked, layers_with_bias
from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.factors import FACTORS
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.accumulation import absolute_sums
from refimpl.oracle.truth.scales import scale_of
from refimpl.oracle.truth.truth import Truth, Undecided

__all__ = ["CHECKS", "last_layer"]

SUMS = (
    "sqrt(K) u sum |terms| of a sum of K terms (Higham & Mary 2019, theorem 2.4), and what relative "
    "perturbations u of weights and inputs change"
)


def _factor(which: int) -> Callable[[Trial, Mode], float]:
    """Compare entry by entry: a small block (the bias row) cannot hide behind a large one."""

    def measure(trial: Trial, mode: Mode) -> float:
        truth, factors = trial.truth, trial.factors()
        scale, part = FACTORS.scale(truth, {}), "AS"[which]
        return max(
            worst(factors[n][which] - right[which], scale[f"{n}/{part}"], trial.unit)
            for n, right in truth.factors.items()
        )

    return measure


def _shape(which: int) -> Callable[[Trial, Mode], float]:
    """A / tr A and S / tr S, which no scale of either factor changes."""

    def measure(trial: Trial, mode: Mode) -> float:
        truth, factors = trial.truth, trial.factors()
        right = _traceless(truth, which)
        moved = scale_of(truth, lambda t: _traceless(t, which))
        ratios: list[float] = []
        for name, pair in truth.factors.items():
            trace = np.trace(pair[which])
            own_trace = np.trace(factors[name][which])
            if trace == 0:  # a layer without inputs, or without gradients, has no direction
                continue
            # Dividing by the trace brings in the trace's own error.
            sums = absolute_sums(truth)[name][which] / trace
            scale = moved[name] + sums + np.abs(right[name]) * np.trace(sums)
            shaped = (
                factors[name][which] / own_trace if own_trace != 0 else np.zeros_like(right[name])
            )
            ratios.append(worst(shaped - right[name], scale, trial.unit))
        if not ratios:
            raise Undecided("this factor is zero in every layer")
        return max(ratios)

    return measure


def _traceless(truth: Truth, which: int) -> dict[str, Array]:
    return {n: f[which] / (np.trace(f[which]) or 1.0) for n, f in truth.factors.items()}


def _traces(factors: Mapping[str, tuple[Array, Array]]) -> Array:
    return np.array([np.trace(A) * np.trace(S) for A, S in factors.values()])


def _product(trial: Trial, mode: Mode) -> float:
    truth, factors = trial.truth, trial.factors()
    right = _traces(truth.factors)
    sums = [
        np.trace(truth.factors[n][0]) * np.trace(s) + np.trace(a) * np.trace(truth.factors[n][1])
        for n, (a, s) in absolute_sums(truth).items()
    ]
    scale = scale_of(truth, lambda t: _traces(t.factors)) + np.array(sums)
    products = _traces({n: factors[n] for n in truth.factors})
    return worst(products - right, scale, trial.unit)


def _constant(trial: Trial, mode: Mode) -> float:
    """The last column over its last entry is (mean input, 1), at any scale of A."""
    truth, factors = trial.truth, trial.factors()
    moved = scale_of(truth, lambda t: t.factors)
    ratios: list[float] = []
    for name in layers_with_bias(trial):
        right, sums = truth.factors[name][0], absolute_sums(truth)[name][0]
        A = factors[name][0]
        if right[-1, -1] == 0:  # nothing counts
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            column = A[:, -1] / A[-1, -1]
        column = np.where(np.isfinite(column), column, np.inf)
        mean = right[:, -1] / right[-1, -1]
        scale = moved[name][0][:, -1] + sums[:, -1] + np.abs(mean) * sums[-1, -1]
        ratios.append(worst(column - mean, scale, trial.unit))
        if trial.conventions.factor_scale == "each":
            ratios.append(worst(A[-1, -1:] - right[-1, -1:], sums[-1, -1:], trial.unit))
    if not ratios:
        raise Undecided("no position counts")
    return max(ratios)


def _symmetric(trial: Trial, mode: Mode) -> float:
    """A sum of u u^T in any order is symmetric up to the rounding of each entry."""
    ratios: list[float] = []
    for pair in trial.factors().values():
        for F in pair:
            size = np.sqrt(np.outer(np.abs(np.diag(F)), np.abs(np.diag(F))))  # Cauchy-Schwarz
            ratios.append(worst(F - F.T, size * _terms(trial) ** 0.5, trial.unit))
    return max(ratios)


def _positive(trial: Trial, mode: Mode) -> float:
    ratios: list[float] = []
    for pair in trial.factors().values():
        for F in pair:
            low = float(np.linalg.eigvalsh((F + F.T) / 2)[0])
            size = np.linalg.norm(F, 2) * (len(F) + _terms(trial)) ** 0.5
            ratios.append(worst(np.array([min(low, 0.0)]), np.array([size]), trial.unit))
    return max(ratios)


def _terms(trial: Trial) -> int:
    """The number of outputs: examples times tokens times classes; about a factor's number of terms."""
    outputs = trial.truth.problem.outputs
    return max(1, int(np.prod(outputs().shape)))


def last_layer(trial: Trial) -> str | None:
    """The block whose outputs are the model's, where there is one that acts nowhere else.

    Args:
        trial: The implementation on a case.
    """
    case = trial.case
    last: Any = case.layers[-1]
    names = [layer.get("name") for layer in _nested_layers(case.layers)] + [
        layer.get("like") for layer in _nested_layers(case.layers)
    ]
    if last["op"] != "linear" or last["name"] not in case.tracked or names.count(last["name"]) > 1:
        return None
    return last["name"]


def _nested_layers(layers: Any) -> list[Any]:
    return [x for layer in layers for x in (layer, *_nested_layers(layer.get("body", ())))]


def _rows(trial: Trial, mode: Mode) -> float:
    """S 1 = 0: a softmax's probabilities and its labels both sum to one."""
    name = last_layer(trial)
    if trial.case.loss.kind != "cross_entropy" or name is None:
        raise Undecided("the outputs are not a softmax's logits given by a layer of their own")
    S = trial.factors()[name][1]
    # E[g (sum of g)]: each coordinate p_k - y_k is rounded by u times one, and not times its size.
    reach = float(np.sqrt(_weights(trial)))
    size = (np.sqrt(np.abs(np.diag(S))) * reach + np.abs(S).sum(axis=1)) * len(S)
    norm = np.linalg.norm(trial.truth.factors[name][1]) or 1.0
    gauge = np.linalg.norm(S) / norm  # whatever scale S was given
    return worst(S.sum(axis=1), size * max(gauge, 1.0) * _terms(trial) ** 0.5, trial.unit)


def _weights(trial: Trial) -> float:
    """(1/N) sum of the weights omega of all tokens, in the declared reduction."""
    problem = trial.truth.problem
    omega = label_distribution(problem.loss).weights(problem.outputs(), problem.targets)
    return float(omega.sum()) / problem.num_examples * trial.truth.loss_scale


def _scales_fixed(trial: Trial) -> bool:
    return trial.conventions.factor_scale == "each"


def _scales_fixed_and_labels_known(trial: Trial) -> bool:
    return trial.labels_known and _scales_fixed(trial)


CHECKS = (
    Check(
        "factor-a-equal",
        "stages",
        "factors",
        "A is the uncentred covariance of the layer's inputs, with a last coordinate 1 for the bias.",
        "A = mean_nr a_nr a_nr^T (expand), mean_n a~_n a~_n^T with a~ = mean_r a (reduce)",
        "Martens & Grosse 2015, eq. 1; Eschenhagen et al. 2023, section 3",
        SUMS,
        _factor(0),
        applies=_scales_fixed,
    ),
    Check(
        "factor-s-equal",
        "stages",
        "factors",
        "S is the uncentred covariance of the pseudo-gradients in the layer's outputs.",
        "S = (1/N) sum_nr E[g_nr g_nr^T] (expand), (1/N) sum_n E[g~_n g~_n^T] with g~ = sum_r g",
        "Martens & Grosse 2015, eq. 1; Eschenhagen et al. 2023, section 3",
        SUMS,
        _factor(1),
        applies=_scales_fixed_and_labels_known,
        shows=True,
    ),
    Check(
        "factor-a-shape",
        "stages",
        "factors",
        "A is right up to a scale, which the product of the factors does not fix.",
        "A / tr A",
        "Martens & Grosse 2015, eq. 1",
        SUMS + ", divided by the trace",
        _shape(0),
    ),
    Check(
        "factor-s-shape",
        "stages",
        "factors",
        "S is right up to a scale, which the product of the factors does not fix.",
        "S / tr S",
        "Martens & Grosse 2015, eq. 1",
        SUMS + ", divided by the trace",
        _shape(1),
        applies=labels_known,
        shows=True,
    ),
    Check(
        "factor-product",
        "stages",
        "factors",
        "The scale of S (x) A is that of the layer's block, however the two factors share it.",
        "tr A tr S = tr (S (x) A)",
        "Martens & Grosse 2015, eq. 1",
        SUMS + ", for the two traces",
        _product,
        applies=labels_known,
    ),
    Check(
        "factor-a-constant",
        "stages",
        "factors",
        "The last column of A is the mean input, and its last entry 1: that of the bias.",
        "A e_I = (mean a, 1)",
        "Martens & Grosse 2015, section 2.1",
        SUMS,
        _constant,
        applies=biases_tracked,
    ),
    Check(
        "factor-symmetric",
        "stages",
        "factors",
        "Both factors are symmetric.",
        "A = A^T, S = S^T",
        "Martens & Grosse 2015, eq. 1",
        "sqrt(K) u sqrt(F_ii F_jj): a sum of K terms, by Cauchy and Schwarz",
        _symmetric,
    ),
    Check(
        "factor-positive",
        "stages",
        "factors",
        "Both factors are positive semidefinite.",
        "min eig A >= 0, min eig S >= 0",
        "Martens & Grosse 2015, eq. 1",
        "sqrt(K + n) u ||F||_2: an eigenvalue moves by no more than the matrix (Weyl)",
        _positive,
    ),
    Check(
        "factor-s-rows",
        "stages",
        "factors",
        "Where a layer gives the logits of a softmax, the rows of its S sum to zero.",
        "S 1 = 0, since 1^T (p - e_y) = 0",
        "Botev et al. 2017, section 4",
        "sqrt(K) u times the size that probabilities have before labels are taken off them",
        _rows,
    ),
)
