"""Removing the examples that help a query most: does its prediction change?

Counterfactual evaluation by subsets (Grosse et al. 2023, section 5.1, retrains by the PBRF; Bae et al.
2024, section 6.2, removes the top k and retrains): scores are good where removing what they name does
more harm than removing what others name.
"""

from functools import partial
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

import refimpl as ri
from refimpl import agreement
from refimpl.rungs.comparisons import interval
from refimpl.rungs.curvatures import TRUTH
from refimpl.rungs.saved import matrix_of, scores_of
from refimpl.rungs.setting import Setting
from validation.experiments.ladder import Make, plan_of
from validation.parts.study import Config, Earlier, Part
from validation.training.recipes import predictions

__all__ = ["RANDOM", "REMOVAL", "parts_of", "remove_most_helpful"]

REMOVAL = "removing the most helpful"
RANDOM = "random examples"
RUNGS = (TRUTH, "EK-FAC", "K-FAC", "empirical Fisher", "LiSSA", "identity")


def parts_of(make: Make, config: Config) -> list[Part]:
    """The part that removes, at the headline's damping.

    Args:
        make: Makes the setting.
        config: With "removal": {"queries", "sizes", "trials"}; without it, nothing.
    """
    if "removal" not in config:
        return []
    fits = [f"fits/{group}" for group in config["groups"]]
    options = {"damping": config["headline"]}
    return [Part("removal", partial(remove_most_helpful, make), ("train", "exact", *fits), options)]


def remove_most_helpful(make: Make, config: Config, earlier: Earlier) -> Any:
    """For each size, the share of predictions that flip, and the mean rise of the queries' loss."""
    at, damping = make(config, earlier), config["damping"]
    chosen = _right(at, config)
    scores = scores_of(plan_of(config), earlier, damping)
    scores = {name: scores[name][chosen] for name in RUNGS if name in scores}
    scores[RANDOM] = np.random.RandomState(config["seed"] + 5).randn(*scores[TRUTH].shape)
    matrix = matrix_of(at.problem, earlier)
    records: dict[str, list[Any]] = {"figures": [], "responses": []}
    for size in config["removal"]["sizes"]:
        # The lowest scores: more weight lowers the loss.
        sets = {name: np.argsort(s, axis=1)[:, :size] for name, s in scores.items()}
        response = ri.exact.bregman_response(
            at.problem,
            torch.from_numpy(np.concatenate(list(sets.values()))),
            epsilon=-1 / at.problem.num_examples,
            damping=damping,
            tolerance=1e-4,  # a flip or a rise of the loss needs no more
            quasi_newton_trials=config["removal"]["trials"],
            newton_steps=0,
            preconditioner=None if matrix is None else ri.Dense(at.problem, [matrix]),
        )
        flips, rises = _effects(at, chosen, response.parameters, len(sets))
        certificate = response.certificate
        converged = certificate.converged.reshape(len(sets), -1).numpy()
        common = {"seed": config["seed"], "reference": REMOVAL, "damping": damping}
        records["responses"].append(
            common
            | {
                "reference": f"{REMOVAL}, k = {size}",
                "tolerance": certificate.tolerance,
                "examples": list(range(len(certificate.converged))),
                "relative_gradient_norm": certificate.relative_gradient_norm.tolist(),
                "iterations": certificate.iterations.tolist(),
                "converged": certificate.converged.tolist(),
                "error_bar": None,
            }
        )
        for row, name in enumerate(sets):
            ok = converged[row]
            if ok.sum() < 2:
                continue
            share = scipy.stats.binomtest(int(flips[row][ok].sum()), int(ok.sum())).proportion_ci(
                method="wilson"
            )
            value = {
                "low": float(share.low),
                "high": float(share.high),
                "undefined": int((~ok).sum()),
            }
            value["value"] = float(flips[row][ok].mean())
            rise = interval(agreement.mean_over_queries(np.where(ok, rises[row], np.nan)))
            for statistic, figure in ((f"flips_{size}", value), (f"rise_{size}", rise)):
                records["figures"].append(
                    common | {"curvature": name, "statistic": statistic} | figure
                )
    return records


def _right(at: Setting, config: Config) -> Int[np.ndarray, " q"]:
    """Queries that are predicted rightly, drawn at random."""
    predicted = predictions(at.problem.loss, at.problem.outputs(at.query_inputs))
    right = (predicted == at.query_targets).reshape(len(predicted), -1).all(dim=1).numpy()
    order = np.random.RandomState(config["seed"] + 4).permutation(np.flatnonzero(right))
    return np.sort(order[: config["removal"]["queries"]])


def _effects(
    at: Setting, chosen: Int[np.ndarray, " q"], parameters: Float[Tensor, "K P"], rungs: int
) -> tuple[Float[np.ndarray, "rungs q"], Float[np.ndarray, "rungs q"]]:
    """Whether each query's prediction flips at its own parameters, and how much its loss rises."""
    problem, where = at.problem, torch.from_numpy(np.tile(chosen, rungs))
    inputs, targets = at.query_inputs, at.query_targets
    assert isinstance(inputs, Tensor)
    before = problem.outputs(inputs)[where]
    outputs_at = vmap(lambda theta, x: problem.outputs(x[None], theta)[0])
    after = outputs_at(parameters, inputs[where])
    flipped = predictions(problem.loss, after) != predictions(problem.loss, before)
    losses = [problem.loss.value(o, targets[where]) for o in (after, before)]
    rise = (losses[0] - losses[1]).reshape(rungs, -1).numpy()
    return flipped.reshape(rungs, len(chosen), -1).any(dim=2).double().numpy(), rise
