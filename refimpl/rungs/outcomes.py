"""What really happens: retraining with an example's weight changed, beside what was predicted."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from refimpl import agreement
from refimpl.curvature.dense import Dense
from refimpl.exact import bregman_response
from refimpl.rungs.comparisons import Record, Scores, Setting, agreements, interval
from refimpl.rungs.curvatures import LADDER

__all__ = ["SIGNS", "predicted", "retrained", "scatter"]

SIGNS = {"PBRF +1/N": 1, "PBRF −1/N": -1}


def retrained(
    at: Setting,
    examples: Int[Tensor, " K"],
    *,
    reference: str,
    damping: float,
    trials: int,
    matrix: Float[Tensor, "P P"] | None,
) -> tuple[Record, Float[Tensor, "Q K"]]:
    """The measured change of every query when each example gains the weight +-1/N.

    Args:
        at: The setting.
        examples: The examples that are retrained, one at a time.
        reference: Key of `SIGNS`.
        damping: lambda.
        trials: Quasi-Newton steps of a retraining at most.
        matrix: The exact GNH, where it was formed, as a preconditioner.

    Returns:
        A record with the certificates, and the changes.
    """
    response = bregman_response(
        at.problem,
        examples,
        epsilon=SIGNS[reference] / at.problem.num_examples,
        damping=damping,
        quasi_newton_trials=trials,
        newton_steps=0,
        preconditioner=None if matrix is None else Dense(at.problem, [matrix]),
    )
    change = (at.values(response.parameters) - at.values()).T
    certificate = response.certificate
    # |f(theta) - f(theta*)| <= ||grad f|| ||theta - theta*||, to first order, and the latter is at
    # most the gradient left over lambda where the objective is lambda-strongly convex.
    slopes = at.gradients().norm(dim=1)
    bars = torch.outer(slopes, certificate.gradient_norm) / damping
    kept = certificate.converged
    share = (bars / change.abs())[:, kept]
    record = {
        "reference": reference,
        "damping": damping,
        "tolerance": certificate.tolerance,
        "examples": examples.tolist(),
        "relative_gradient_norm": certificate.relative_gradient_norm.tolist(),
        "iterations": certificate.iterations.tolist(),
        "converged": kept.tolist(),
        "error_bar": float(share.median()) if kept.any() else None,
    }
    return record, change


def predicted(
    scores: Mapping[str, Scores], change: Scores, top_k: int, common: Record
) -> dict[str, list[Record]]:
    """Predicted changes against measured ones.

    Args:
        scores: Influences times the weight, by name of the rung.
        change: Measured changes of the same pairs.
        top_k: Size of the top sets.
        common: What every record begins with, "reference" among it.

    Returns:
        Records "figures" and "contrasts"; none where fewer than two retrainings are left.
    """
    if change.shape[1] < 2:  # nothing to correlate; the page says how many missed
        return {"figures": [], "contrasts": []}
    found = agreements(scores, change, min(top_k, change.shape[1]), common)
    for name, value in scores.items():
        error = agreement.relative_error(value, change)
        found["figures"].append(
            common | {"curvature": name, "statistic": "change_error"} | interval(error)
        )
    return found


def scatter(scores: Mapping[str, Scores], change: Scores, seed: int) -> Record:
    """A random part of the pairs, for a drawing: four digits are enough.

    Args:
        scores: Predicted changes by name of the rung.
        change: Measured ones.
        seed: Of the draw.
    """
    pairs = np.random.RandomState(seed).permutation(change.size)[:3000]

    def some(values: Scores) -> list[float]:
        return [float(f"{v:.4g}") for v in values.ravel()[pairs]]

    shown = (*LADDER[:3], "identity")
    predicted = {name: some(scores[name]) for name in shown if name in scores}
    return {"pairs": change.size, "measured": some(change), "predicted": predicted}
