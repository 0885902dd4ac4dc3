"""The ladder of approximations, climbed for any problem: what each rung costs, and what it foretells."""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Shaped
from torch import Tensor

from refimpl import exact
from refimpl.curvature.dense import Dense
from refimpl.problem.data import Data
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem
from refimpl.rungs import records
from refimpl.rungs.comparisons import Setting, Solved, agreements, climb
from refimpl.rungs.curvatures import FITS, TOP, TRUTH, Fit, Known
from refimpl.rungs.operators import Record
from refimpl.rungs.outcomes import SIGNS, predicted, retrained, scatter

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
        progress: Called with a sentence as each step begins.

    Returns:
        Plain data, as `refimpl.report.write` draws it and JSON holds it.

    Raises:
        ValueError: No damping, a headline that is none of them, or fewer than two queries or examples.
    """
    at = Setting(problem, query_inputs, query_targets, measurement)
    dampings = [float(damping) for damping in dampings]
    headline = _checked(at, dampings, headline)
    tell = progress or (lambda _: None)
    top_k, retrain = min(top_k, problem.num_examples), min(retrain, problem.num_examples)

    tell(f"exact GNH of {problem.num_parameters:,} parameters")
    curvature = exact.GaussNewton(problem)
    dense = curvature.method == "primal"
    matrix = curvature.dense() if dense else None
    fits = [Fit(TRUTH, curvature, problem)]
    if dense:
        fits.append(Fit(TOP, Dense(problem, [exact.hessian(problem)], positive=False), problem))
    solved, measured = climb(fits, at, dampings, known={}, top_k=top_k, operators=dense)
    truths = dict(solved)
    groups = [g for g in FITS if dense or g not in ("wider", "empirical")]
    known = Known(seed, matrix)
    for group in groups:
        tell(f"rungs: {group}")
        fits = FITS[group](problem, known)
        found, more = climb(fits, at, dampings, known=truths, top_k=top_k, operators=dense)
        solved |= found
        _add(measured, more)
    order = np.random.RandomState(seed + 1).permutation(problem.num_examples)
    examples = torch.from_numpy(np.sort(order[:retrain]))
    for damping in dampings:
        scores = _scores(solved, dampings.index(damping))
        for reference in (TRUTH, TOP):
            if reference in scores:
                common = {"reference": reference, "damping": damping}
                _add(measured, agreements(scores, scores[reference], top_k, common))
        for reference, sign in SIGNS.items() if retrain else ():
            tell(f"retraining {retrain} examples, {reference}, λ = {damping:g}")
            response, change = retrained(
                at, examples, reference=reference, damping=damping, trials=trials, matrix=matrix
            )
            _add(measured, {"responses": [response]})
            kept = np.array(response["converged"])
            columns = examples.numpy()[kept]
            foretold = {n: sign / problem.num_examples * s[:, columns] for n, s in scores.items()}
            common = {"reference": reference, "damping": damping}
            happened = change.cpu().numpy()[:, kept]
            _add(measured, predicted(foretold, happened, top_k, common))
            if damping == headline and kept.sum() > 1:
                _add(measured, {"scatter": [common | scatter(foretold, happened, seed)]})
    tell("done")
    return records.page(
        {kind: [{"seed": seed, **record} for record in found] for kind, found in measured.items()},
        groups=groups,
        headline=headline,
        top_k=top_k,
        examples=problem.num_examples,
        retrained=retrain,
    ) | {
        "name": "ladder",
        "title": title,
        "setting": _setting(at, dampings),
        "provenance": _provenance(problem, seed),
    }


def _checked(at: Setting, dampings: Sequence[float], headline: float | None) -> float:
    if not dampings or min(dampings) <= 0 or len(set(dampings)) < len(dampings):
        raise ValueError(f"expected different dampings > 0, got {list(dampings)}")
    if headline is not None and headline not in dampings:
        raise ValueError(f"the headline {headline:g} is none of the dampings {list(dampings)}")
    queries = len(at.query_targets)
    if queries < 2 or at.problem.num_examples < 2:
        raise ValueError(
            f"agreement is a correlation over examples, averaged over queries: expected two of each "
            f"or more, got {at.problem.num_examples} examples and {queries} queries"
        )
    return sorted(dampings)[min(1, len(dampings) - 1)] if headline is None else headline


def _scores(solved: dict[str, Solved], at: int) -> dict[str, np.ndarray]:
    found = {name: one.scores[at].cpu().numpy() for name, one in solved.items()}
    return {name: value for name, value in found.items() if np.isfinite(value).all()}


def _add(measured: dict[str, list[Record]], more: dict[str, list[Record]]) -> None:
    for kind, found in more.items():
        measured.setdefault(kind, []).extend(found)


def _setting(at: Setting, dampings: Sequence[float]) -> str:
    problem, what = at.problem, at.measurement
    frozen = f", {len(problem.frozen)} tensors of parameters frozen" if problem.frozen else ""
    measured = what if isinstance(what, str) else getattr(what, "__name__", "function given")
    return (
        f"{type(problem.model).__name__} with {problem.num_parameters:,} tracked parameters in "
        f"{len(problem.layout.layers)} layers{frozen}; {type(problem.loss).__name__}, "
        f"{problem.num_examples:,} training examples, {len(at.query_targets):,} queries, whose "
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
