"""Retraining as people do it: leaving an example out, and training on random halves of the data.

Bae et al. 2022 take the distance from leave-one-out retraining to an influence estimate apart into
five terms: warm start, proximity, non-convergence, linearisation and solver. Each is measured here by
itself, between two ways of finding the same changes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import refimpl as ri
from refimpl import agreement
from refimpl.rungs.comparisons import interval
from refimpl.rungs.curvatures import HEADLINE, TRUTH
from refimpl.rungs.parts import fit_parts, outcome_part
from refimpl.rungs.saved import NOT_SCORES, matrix_of, scores_of
from validation.experiments.ladder import Make, plan_of, study_part
from validation.literature.references import HALVES, NEAR, PBRF, SCRATCH, WARM
from validation.parts.study import Config, Earlier, Part
from validation.training.recipes import Recipe

__all__ = ["FOUND", "gaps", "left_out", "parts_of"]

FOUND = 1e-2  # what counts as trained: the gradient norm over the one at the start
# The five terms: (name, the way nearer to leaving out, the way nearer to the estimate).
TERMS = (
    ("warm start", SCRATCH, WARM),
    ("proximity", WARM, NEAR),
    ("non-convergence", NEAR, PBRF),
    ("linearisation", PBRF, TRUTH),
    ("solver", TRUTH, HEADLINE),
    ("solver", TRUTH, "LiSSA"),
    ("all five", SCRATCH, HEADLINE),
)


def parts_of(recipe: Recipe, make: Make, config: Config) -> list[Part]:
    """Retrainings, every rung's predictions of them, and the five terms.

    Args:
        recipe: How the model comes about.
        make: Its setting.
        config: With "scratch": {"examples", "seeds", "trials"} to leave examples out, and "halves":
            {"models", "seeds", "trials"} to train on halves; without them, nothing.
    """
    plan = plan_of(config)
    listed: list[Part] = []
    names: dict[str, str] = {}
    if "halves" in config:
        listed.append(Part("retrained/halves", partial(halves, recipe, make), ("train",)))
        names[HALVES] = "retrained/halves"
    if "scratch" in config:
        listed.append(Part("retrained/scratch", partial(scratch, recipe, make), ("train",)))
        listed.append(
            Part("retrained/warm", partial(warm, make), ("train", "exact"), {"reference": WARM})
        )
        names |= {SCRATCH: "retrained/scratch", WARM: "retrained/warm"}
    for damping in config["dampings"]:
        here = dict(names)
        if "scratch" in config:
            here[NEAR] = name = _near(config, damping)
            if name != here[WARM]:
                options = {"reference": NEAR, "damping": damping}
                listed.append(Part(name, partial(warm, make), ("train", "exact"), options))
            needs = (
                *dict.fromkeys(here.values()),
                f"responses/{damping:g}/-",
                "exact",
                *fit_parts(plan),
            )
            listed.append(
                Part(
                    f"gaps/{damping:g}",
                    gaps,
                    needs,
                    {"damping": damping},
                    without=NOT_SCORES,
                )
            )
        for reference, name in here.items():
            outcome = f"outcomes/{damping:g}/{'near' if reference == NEAR else name.split('/')[1]}"
            statistics = ("pearson", "spearman", "kendall") if reference == HALVES else None
            step = outcome_part(
                outcome, plan, name, reference=reference, damping=damping, statistics=statistics
            )
            listed.append(study_part(step, make))
    return listed


def _near(config: Config, damping: float) -> str:
    """The part that retrains near theta_s at this damping.

    The weight decay already keeps theta near with its own strength: at a stationary theta_s the two
    together are the proximity of the PBRF, whose objective knows no decay. A damping that is no larger
    asks for nothing besides, and so for the warm start itself.
    """
    return f"retrained/near/{damping:g}" if damping > config["weight_decay"] else "retrained/warm"


def left_out(config: Config) -> Int[Tensor, " K"]:
    """The examples that are left out: some of those whose removal the PBRF has, evenly spread."""
    every = plan_of(config).retrained_examples()
    places = np.linspace(0, len(every) - 1, config["scratch"]["examples"]).round()
    return every[torch.from_numpy(places).long()]


def scratch(recipe: Recipe, make: Make, config: Config, earlier: Earlier) -> Any:
    """Changes by leaving out, trained anew: from each start with and without, averaged over starts."""
    at, options = make(config, earlier), config["scratch"]
    without = _without(at.problem, left_out(config))
    weights = torch.cat([torch.ones_like(without[:1]), without])
    responses = [
        _anew(recipe, at.problem, config, weights, options["trials"], run)
        for run in range(options["seeds"])
    ]
    # A model's change is known only as well as the model that it is the change of.
    norms = torch.stack([r.certificate.relative_gradient_norm for r in responses])
    worst = norms.max(dim=0).values
    record = _record(
        config,
        SCRATCH,
        None,
        left_out(config).tolist(),
        torch.maximum(worst[1:], worst[:1]),
        responses[0].certificate.iterations[1:],
    )
    runs = torch.stack([at.values(r.parameters) for r in responses])
    change = (runs[:, 1:] - runs[:, :1]).mean(dim=0).T
    arrays = {"change": change.numpy(), "weights": _shift(without).numpy()}
    return {"responses": [record]}, arrays


def warm(make: Make, config: Config, earlier: Earlier) -> Any:
    """Changes by leaving out, trained on from the end; near it where the reference says so."""
    at = make(config, earlier)
    near = config["damping"] - config["weight_decay"] if "damping" in config else 0.0  # see _near
    without = _without(at.problem, left_out(config))
    matrix = matrix_of(at.problem, earlier)
    response = ri.exact.retrain(
        at.problem,
        without,
        weight_decay=config["weight_decay"],
        proximity=near,
        tolerance=1e-4,
        trials=config["quasi_newton_trials"],
        preconditioner=None if matrix is None else ri.Dense(at.problem, [matrix]),
    )
    certificate = response.certificate
    record = _record(
        config,
        config["reference"],
        config.get("damping"),
        left_out(config).tolist(),
        certificate.relative_gradient_norm,
        certificate.iterations,
    )
    change = (at.values(response.parameters) - at.values()).T
    arrays = {"change": change.numpy(), "weights": _shift(without).numpy()}
    return {"responses": [record]}, arrays


def halves(recipe: Recipe, make: Make, config: Config, earlier: Earlier) -> Any:
    """The queries' measurements after training on random halves, averaged over starts.

    The linear datamodelling score (Park et al. 2023, TRAK, definition 2.3) is the rank correlation,
    over halves, of these with the sums of the scores of a half's examples.
    """
    at, options = make(config, earlier), config["halves"]
    count = at.problem.num_examples
    random = np.random.RandomState(config["seed"] + 2)
    weights = at.problem.parameters.new_zeros(options["models"], count)
    for row in weights:
        row[torch.from_numpy(random.permutation(count)[: count // 2])] = count / (count // 2)
    responses = [
        _anew(recipe, at.problem, config, weights, options["trials"], run)
        for run in range(options["seeds"])
    ]
    norms = torch.stack([r.certificate.relative_gradient_norm for r in responses]).max(dim=0).values
    runs = torch.stack([at.values(r.parameters).T for r in responses])  # [runs, Q, models]
    record = _record(
        config, HALVES, None, list(range(len(weights))), norms, responses[0].certificate.iterations
    )
    values: dict[str, Any] = {"responses": [record]}
    if len(runs) > 1:
        again = agreement.spearman(runs[0].numpy(), runs[1].numpy())
        values["ceiling"] = interval(again)
    change = runs.mean(dim=0) - at.values()[:, None]
    return values, {"change": change.numpy(), "weights": _shift(weights).numpy()}


def gaps(config: Config, earlier: Earlier) -> Any:
    """The five terms at one damping, each between two ways to the same changes of every query."""
    chosen, damping = left_out(config), config["damping"]
    every = plan_of(config).retrained_examples()
    removed = earlier[f"responses/{damping:g}/-"]
    places = torch.searchsorted(every, chosen)
    ways = {
        SCRATCH: earlier["retrained/scratch"].arrays["change"],
        WARM: earlier["retrained/warm"].arrays["change"],
        NEAR: earlier[_near(config, damping)].arrays["change"],
        PBRF: removed.arrays["change"][:, places.numpy()],
    }
    converged = np.array(removed.values["responses"][0]["converged"])[places.numpy()]
    for name in ("retrained/scratch", "retrained/warm", _near(config, damping)):
        converged &= np.array(earlier[name].values["responses"][0]["converged"])
    for name, scores in scores_of(plan_of(config), earlier, damping).items():
        ways[name] = -scores[:, chosen.numpy()] / config["train"]
    if converged.sum() < 2:
        return {"gaps": [], "contrasts": []}
    ways = {name: change[:, converged] for name, change in ways.items()}
    common = {"seed": config["seed"], "damping": damping}
    records = [
        common | {"term": term, "upper": upper, "lower": lower, "statistic": s} | interval(e)
        for term, upper, lower in TERMS
        if upper in ways and lower in ways
        for s, e in (
            ("pearson", agreement.pearson(ways[lower], ways[upper])),
            ("spearman", agreement.spearman(ways[lower], ways[upper])),
            ("change_error", agreement.relative_error(ways[lower], ways[upper])),
        )
    ]
    nearer = agreement.difference(
        agreement.pearson(ways[TRUTH], ways[PBRF]), agreement.pearson(ways[TRUTH], ways[SCRATCH])
    )
    contrast = {"reference": TRUTH + " against outcomes", "first": PBRF, "second": SCRATCH}
    return {
        "gaps": records,
        "contrasts": [common | contrast | {"statistic": "pearson"} | interval(nearer)],
    }


def _without(problem: ri.Problem, examples: Int[Tensor, " K"]) -> Float[Tensor, "K N"]:
    """Weights that leave one example out each."""
    weights = problem.parameters.new_ones(len(examples), problem.num_examples)
    weights[torch.arange(len(examples)), examples] = 0.0
    return weights


def _shift(weights: Float[Tensor, "K N"]) -> Float[Tensor, "K N"]:
    """What the weights of the mean loss's terms change by."""
    return (weights - 1.0) / weights.shape[1]


def _anew(
    recipe: Recipe,
    problem: ri.Problem,
    config: Config,
    weights: Float[Tensor, "K N"],
    trials: int,
    run: int,
) -> ri.exact.Response:
    """Training under every weighting, from one fresh initialisation for all."""
    generator = torch.Generator().manual_seed(1000 * (config["seed"] + 1) + run)
    fresh = ri.Problem(
        recipe.model(config, generator), recipe.loss, problem.inputs, problem.targets
    )
    return ri.exact.retrain(
        problem,
        weights,
        start=fresh.parameters.expand(len(weights), -1),
        weight_decay=config["weight_decay"],
        trials=trials,
    )


def _record(
    config: Config,
    reference: str,
    damping: float | None,
    numbers: Sequence[int],
    norms: Float[Tensor, " K"],
    steps: Int[Tensor, " K"],
) -> dict[str, Any]:
    return {
        "seed": config["seed"],
        "reference": reference,
        "damping": damping,
        "tolerance": FOUND,
        "examples": list(numbers),
        "relative_gradient_norm": norms.tolist(),
        "iterations": steps.tolist(),
        "converged": (norms <= FOUND).tolist(),
        "error_bar": None,
    }
