"""The ladder of approximations, climbed for any problem: what each rung costs, and what it foretells."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Shaped
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.problem.data import Data
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rungs.curvatures import RUNGS
from refimpl.rungs.fits import FITS
from refimpl.rungs.outcomes import SIGNS
from refimpl.rungs.page import gather, page_data
from refimpl.rungs.parts import ladder_parts
from refimpl.rungs.plan import Part, Plan, Result
from refimpl.rungs.setting import Setting

__all__ = ["DAMPINGS", "ladder"]

DAMPINGS = (1e-1, 1e-2, 1e-3, 1e-4)


def ladder(
    problem: Problem,
    query_inputs: Data,
    query_targets: Shaped[Tensor, "Q ..."],
    *,
    measurement: Measurement = "loss",
    dampings: Sequence[float] = DAMPINGS,
    headline: float | None = None,
    retrain: int = 30,
    top_k: int = 10,
    trials: int = 400,
    seed: int = 0,
    title: str = "Where does the error of an influence estimate come from?",
    curvatures: Mapping[str, Curvature] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Every approximation against the exact answer, the one before it, and retraining.

    The rungs: full Hessian, Gauss-Newton Hessian (GNH) of all layers, of the tracked ones, its layer
    blocks, EK-FAC, K-FAC with lambda I and with factored damping, EK-FAC from sampled and from the
    data's labels; beside them the empirical Fisher, the diagonal, and the dot product of gradients.
    Where P is too large for matrices P x P, the rungs that are such matrices are left out.

    Args:
        problem: A trained model with its data.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        measurement: f, as in `Problem.measure`.
        dampings: Every lambda > 0.
        headline: The damping of findings and drawings; default: the second smallest.
        retrain: Training examples that are doubled and removed, retraining by the proximal Bregman
            objective at each damping; 0: none.
        top_k: Size of the top sets.
        trials: Quasi-Newton steps of a retraining at most.
        seed: Of the sampled labels and of the examples that are retrained.
        title: Of the page.
        curvatures: More curvatures of the problem, by the name that the page gives each.
        progress: Called with a sentence as each step begins.

    Returns:
        Plain data, as `refimpl.report.write` draws it and JSON holds it.

    Raises:
        ValueError: No damping, a headline that is none of them, a curvature named as a rung is, or
            fewer than two queries or examples.
    """
    setting = Setting(problem, query_inputs, query_targets, measurement)
    dampings = [float(damping) for damping in dampings]
    headline, given = _checked(setting, dampings, headline), dict(curvatures or {})
    if taken := sorted(given.keys() & {rung.name for rung in RUNGS}):
        raise ValueError(f"rungs of the ladder have these names already: {', '.join(taken)}")
    plan = Plan(
        num_examples=problem.num_examples,
        dampings=dampings,
        headline=headline,
        groups=list(FITS),
        given=list(given),
        retrained=dict.fromkeys(SIGNS, dampings) if retrain else {},
        examples=min(retrain, problem.num_examples),
        top_k=min(top_k, problem.num_examples),
        trials=trials,
        seed=seed,
    )
    tell = progress or (lambda _: None)
    tell(f"exact GNH of {problem.num_parameters:,} parameters")
    results: dict[str, Result] = {}

    def run(part: Part) -> None:
        if part.title:
            tell(part.title)
        earlier = {need: results[need] for need in part.needs}
        results[part.name] = Result(*part.run(plan, earlier, lambda: setting))

    run(ladder_parts(plan, given)[0])
    if results["exact"].values["method"] != "primal":  # too large for matrices P x P
        plan = replace(plan, groups=[g for g in FITS if g not in ("wider", "empirical")])
    for part in ladder_parts(plan, given)[1:]:
        run(part)
    tell("done")
    return page_data(gather(result.values for result in results.values()), plan) | {
        "name": "ladder",
        "title": title,
        "setting": _sentence(setting, dampings),
        "provenance": _provenance(problem, seed),
    }


def _checked(setting: Setting, dampings: Sequence[float], headline: float | None) -> float:
    if not dampings or min(dampings) <= 0 or len(set(dampings)) < len(dampings):
        raise ValueError(f"expected different dampings > 0, got {list(dampings)}")
    if headline is not None and headline not in dampings:
        raise ValueError(f"the headline {headline:g} is none of the dampings {list(dampings)}")
    queries = len(setting.query_targets)
    if queries < 2 or setting.problem.num_examples < 2:
        raise ValueError(
            f"agreement is a correlation over examples, averaged over queries: expected two of each "
            f"or more, got {setting.problem.num_examples} examples and {queries} queries"
        )
    return sorted(dampings)[min(1, len(dampings) - 1)] if headline is None else headline


def _sentence(setting: Setting, dampings: Sequence[float]) -> str:
    problem, what = setting.problem, setting.measurement
    frozen = f", {len(problem.frozen)} tensors of parameters frozen" if problem.frozen else ""
    measured = what if isinstance(what, str) else getattr(what, "__name__", "function given")
    return (
        f"{type(problem.model).__name__} with {problem.num_parameters:,} tracked parameters in "
        f"{len(problem.layout.layers)} layers{frozen}; {type(problem.loss).__name__}, "
        f"{problem.num_examples:,} training examples, {len(setting.query_targets):,} queries, whose "
        f"measurement is the {measured.replace('_', '-')}. Dampings λ = "
        f"{', '.join(f'{damping:g}' for damping in dampings)}."
    )


def _provenance(problem: Problem, seed: int) -> dict[str, Any]:
    from refimpl import __version__

    return {
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "refimpl": __version__,
        "libraries": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "precision": str(problem.dtype).removeprefix("torch."),
        "seed": str(seed),
        "machine": f"{platform.system()} {platform.machine()}, {problem.device}",
    }
