"""What really happens: retraining with an example's weight changed, beside what was predicted."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from refimpl import agreement
from refimpl.curvature.dense import Dense
from refimpl.exact import bregman_response
from refimpl.rungs.comparisons import Scores, agreements, interval
from refimpl.rungs.curvatures import LADDER
from refimpl.rungs.operators import Record
from refimpl.rungs.setting import Setting

__all__ = ["SIGNS", "compare_predictions", "retrain_examples", "scatter"]

# The retrainings by name, and the sign of the weight 1/N that an example gains.
SIGNS = {"PBRF +1/N": 1, "PBRF −1/N": -1}


def retrain_examples(
    setting: Setting,
    examples: Int[Tensor, " K"],
    *,
    reference: str,
    damping: float,
    trials: int,
    matrix: Float[Tensor, "P P"] | None,
) -> tuple[Record, Float[Tensor, "Q K"]]:
    """The measured change of every query when each example gains the weight +-1/N.

    Args:
        setting: The problem and its queries.
        examples: The examples that are retrained, one at a time [K].
        reference: Key of `SIGNS`.
        damping: lambda > 0.
        trials: Quasi-Newton steps of a retraining at most.
        matrix: The exact GNH [P, P], where it was formed, as a preconditioner.

    Returns:
        A record with the certificates, and the changes [Q, K].
    """
    response = bregman_response(
        setting.problem,
        examples,
        epsilon=SIGNS[reference] / setting.problem.num_examples,
        damping=damping,
        quasi_newton_trials=trials,
        newton_steps=0,
        preconditioner=None if matrix is None else Dense(setting.problem, [matrix]),
    )
    change = (setting.values(response.parameters) - setting.values()).T
    certificate = response.certificate
    # |f(theta) - f(theta*)| <= ||grad f|| ||theta - theta*||, to first order, and the latter is at
    # most the gradient left over lambda where the objective is lambda-strongly convex.
    slopes = setting.gradients().norm(dim=1)
    bars = torch.outer(slopes, certificate.gradient_norm) / damping
    converged = certificate.converged
    share = (bars / change.abs())[:, converged]
    record = {
        "reference": reference,
        "damping": damping,
        "tolerance": certificate.tolerance,
        "examples": examples.tolist(),
        "relative_gradient_norm": certificate.relative_gradient_norm.tolist(),
        "iterations": certificate.iterations.tolist(),
        "converged": converged.tolist(),
        "error_bar": float(share.median()) if converged.any() else None,
    }
    return record, change


def compare_predictions(
    predictions: Mapping[str, Scores], change: Scores, top_k: int, common: Record
) -> dict[str, list[Record]]:
    """Predicted changes against measured ones.

    Args:
        predictions: Influences times the weight [Q, K], by name of the rung.
        change: Measured changes of the same pairs [Q, K].
        top_k: Size of the top sets.
        common: What every record begins with, "reference" among it.

    Returns:
        Records "figures" and "contrasts"; none where fewer than two retrainings are left.
    """
    if change.shape[1] < 2:  # nothing to correlate; the page says how many missed
        return {"figures": [], "contrasts": []}
    records = agreements(predictions, change, min(top_k, change.shape[1]), common)
    for name, value in predictions.items():
        error = agreement.relative_error(value, change)
        records["figures"].append(
            common | {"curvature": name, "statistic": "change_error"} | interval(error)
        )
    return records


def scatter(predictions: Mapping[str, Scores], change: Scores, seed: int) -> Record:
    """A random part of the pairs, for a drawing: four digits are enough.

    Args:
        predictions: Predicted changes [Q, K] by name of the rung.
        change: Measured ones [Q, K].
        seed: Of the draw.
    """
    pairs = np.random.RandomState(seed).permutation(change.size)[:3000]

    def some(values: Scores) -> list[float]:
        return [float(f"{v:.4g}") for v in values.ravel()[pairs]]

    shown = [name for name in (*LADDER[:3], "identity") if name in predictions]
    return {
        "pairs": change.size,
        "measured": some(change),
        "predicted": {name: some(predictions[name]) for name in shown},
    }
