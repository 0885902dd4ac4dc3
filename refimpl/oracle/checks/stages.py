"""Checks of single stages against the reference: gradients, factors, eigenbasis, Lambda."""

from refimpl.oracle.checks.check import Check, worst
from refimpl.oracle.trial import Mode, Trial

__all__ = ["CHECKS"]


def _gradients(trial: Trial, mode: Mode) -> float:
    truth, scale = trial.truth.gradients, trial.truth.scale(lambda t: t.gradients)
    found = trial.gradients()
    return max(worst(found[n] - truth[n], scale[n], trial.unit) for n in truth)


def _labels_known(trial: Trial) -> bool:
    return trial.conventions.fisher != "sampled"


def _factor(which: int, trial: Trial) -> float:
    """Componentwise, so that a small block (the bias row) cannot hide behind a large one."""
    truth, found = trial.truth, trial.factors()
    moved = truth.scale(lambda t: t.factors)
    sums = truth.absolute_sums
    return max(
        worst(
            found[n][which] - truth.factors[n][which], moved[n][which] + sums[n][which], trial.unit
        )
        for n in truth.factors
    )


CHECKS = (
    Check(
        "gradients-equal", "stages", "gradients",
        "The gradient of every training example's loss, in every layer.",
        "grad l_n = sum_r g_nr a_nr^T",
        "Martens & Grosse 2015, section 2.1",
        "first-order effect of relative perturbations of weights and inputs",
        _gradients,
    ),
    Check(
        "factor-a-equal", "stages", "factors",
        "A is the uncentred covariance of the layer's inputs, with a last coordinate 1 for the bias.",
        "A = mean_n,r a_nr a_nr^T",
        "Martens & Grosse 2015, eq. 1; Eschenhagen et al. 2023",
        "sqrt(K) sum of absolute values (Higham & Mary 2019), and perturbations of weights and inputs",
        lambda trial, mode: _factor(0, trial),
        applies=lambda trial: trial.conventions.factor_scale == "each",
    ),
)  # fmt: skip
