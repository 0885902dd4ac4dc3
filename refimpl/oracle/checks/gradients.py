"""Stage "gradients": against the reference entry by entry, the bias's by themselves as well."""

from refimpl.oracle.checks.check import Check, worst
from refimpl.oracle.question.case import Array
from refimpl.oracle.stages.gradients import GRADIENTS
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.truth import Undecided

__all__ = ["CHECKS", "biases_tracked", "layers_with_bias"]

MOVED = (
    "what relative perturbations u of weights, inputs and stored gradients change, to first order"
)


def _errors(trial: Trial) -> dict[str, tuple[Array, Array]]:
    """Error and scale [N, O, I] by layer."""
    gradients, right = trial.gradients(), trial.truth.gradients
    scale = GRADIENTS.scale(trial.truth, {})
    return {n: (gradients[n] - right[n], scale[n]) for n in right}


def _equal(trial: Trial, mode: Mode) -> float:
    return max(worst(error, scale, trial.unit) for error, scale in _errors(trial).values())


def _bias_column(trial: Trial, mode: Mode) -> float:
    """The column by itself, since beside a large input it may be lost."""
    errors = _errors(trial)
    columns = [errors[n] for n in layers_with_bias(trial)]
    return max(worst(error[..., -1], scale[..., -1], trial.unit) for error, scale in columns)


def layers_with_bias(trial: Trial) -> list[str]:
    """Layers whose last column is a bias's, or is one.

    Args:
        trial: The implementation on a case.

    Raises:
        Undecided: There is none.
    """
    end = ".bias" if trial.conventions.bias == "separate" else ""
    names = [b.name + end for b in trial.case.blocks if b.bias]
    if not names:
        raise Undecided("no layer of this case has a bias")
    return names


def biases_tracked(trial: Trial) -> bool:
    """Whether the conventions have biases among the parameters."""
    return trial.conventions.bias != "none"


CHECKS = (
    Check(
        "gradients-equal",
        "stages",
        "gradients",
        "The gradient of every training example's loss is right, entry by entry, in every layer.",
        "grad l_n = sum_r g_nr a_nr^T",
        "Martens & Grosse 2015, section 2.1",
        MOVED,
        _equal,
        shows=True,
    ),
    Check(
        "gradients-bias",
        "stages",
        "gradients",
        "The bias's gradient is the sum of the gradients in the layer's outputs.",
        "dl_n/db = sum_r g_nr",
        "Martens & Grosse 2015, section 2.1",
        MOVED,
        _bias_column,
        applies=biases_tracked,
    ),
)
