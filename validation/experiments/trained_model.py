"""All that is measured of a trained model: the ladder, retraining, and what people use scores for."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from refimpl.report import text
from validation.experiments import ladder, mislabelled, removals, retraining
from validation.experiments.mislabelled import FLIPPED, LOSS
from validation.experiments.removals import RANDOM, REMOVAL
from validation.literature.references import HALVES, NEAR, SCRATCH, WARM
from validation.parts.study import Config, Earlier, Part
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["parts_of", "results"]


def parts_of(recipe: Recipe, config: Config) -> list[Part]:
    """Training, the comparisons at each damping, and whatever else the configuration asks for.

    Args:
        recipe: How the model comes about.
        config: What the ladder needs; "scratch", "halves", "mislabelled" and "removal" at will.
    """
    make = partial(recipes.trained_setting, recipe)
    return [
        Part("train", partial(recipes.train, recipe)),
        *ladder.parts_of(make, config),
        *retraining.parts_of(recipe, make, config),
        *mislabelled.parts_of(recipe, config),
        *removals.parts_of(make, config),
    ]


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of a page, but for its name, title, setting and provenance.

    Args:
        config: The study's configuration.
        by_seed: Results by seed and part.
    """
    also: dict[str, list[Any]] = {"curvatures": [], "references": [], "statistics": []}
    if "scratch" in config:
        also["references"] += _leaving_out(config)
    if "halves" in config:
        also["references"].append(_halves(config, by_seed))
    if "mislabelled" in config:
        also["references"].append(_flipped(config, by_seed))
        also["curvatures"].append(_row(LOSS, "no curvature: the loss of the example itself"))
        also["statistics"] += [
            {"name": "auroc", "label": "AUROC", "better": "higher"},
            {"name": "average_precision", "label": "average precision", "better": "higher"},
        ]
    if "removal" in config:
        also["references"].append(_removal(config))
        also["curvatures"].append(_row(RANDOM, "drawn anew for each query"))
        for size in config["removal"]["sizes"]:
            also["statistics"] += [
                {"name": f"flips_{size}", "label": f"flipped, k = {size}", "better": "higher"},
                {"name": f"rise_{size}", "label": f"rise of loss, k = {size}", "better": "higher"},
            ]
    return ladder.results(config, by_seed, also)


def _row(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "family": name, "description": description, "plotted": True}


def _leaving_out(config: Config) -> list[dict[str, Any]]:
    options = config["scratch"]
    chance = {"pearson": 0.0, "spearman": 0.0, "change_error": 1.0}
    every = f"over {options['examples']} training examples, each left out once"
    kinds = (
        (
            SCRATCH,
            "leaving out, trained from scratch",
            f"The model trained anew by at most {options['trials']} steps of L-BFGS from "
            f"{options['seeds']} other starts, with and without the example; changes of each start "
            "are averaged.",
        ),
        (
            WARM,
            "leaving out, warm start",
            "Training goes on from its end without the example, weight decay as before.",
        ),
        (
            NEAR,
            "leaving out, warm start and proximity",
            "The same with (λ − weight decay)/2 ‖θ − θs‖² added, nothing where that is negative: "
            "with the decay it keeps the answer as near as damping λ does.",
        ),
    )
    return [
        {
            "name": name,
            "title": title,
            "short": title,
            "kind": "outcome",
            "caption": f"{caption} Predicted against measured changes of each query's measurement "
            f"{every}.",
            "chance": chance,
        }
        for name, title, caption in kinds
    ]


def _halves(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    options = config["halves"]
    ceilings = [
        c
        for earlier in by_seed.values()
        if (c := earlier["retrained/halves"].values.get("ceiling")) and c["value"] is not None
    ]
    intervals = "; ".join(
        f"{text.figure(c['value'])} [{text.figure(c['low'])}, {text.figure(c['high'])}]"
        for c in ceilings
    )
    ceiling = (
        f" Two starts' measurements over the same halves rank alike with ρ = {intervals}"
        f"{', by seed' if len(ceilings) > 1 else ''}: what training noise leaves to be predicted."
        if intervals
        else ""
    )
    return {
        "name": HALVES,
        "title": "the linear datamodelling score: training on random halves",
        "short": "training on random halves",
        "kind": "outcome",
        "caption": f"{options['models']} models trained from scratch on random halves of the data, "
        f"averaged over {options['seeds']} starts, at most {options['trials']} steps of L-BFGS. The "
        "score (LDS, Park et al. 2023) is Spearman's ρ, over halves, between each query's "
        f"measurement and the sum of its scores over the half.{ceiling}",
        "chance": {"pearson": 0.0, "spearman": 0.0, "kendall": 0.0},
    }


def _flipped(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    share = config["mislabelled"]["share"]
    count = next(iter(by_seed.values()))["mislabelled"].values["flipped"]
    return {
        "name": FLIPPED,
        "title": "finding flipped labels",
        "short": "which labels were flipped",
        "kind": "use",
        "caption": f"{count} of the {config['train']:,} training labels were made wrong at random, the "
        "model trained on them, and examples ranked by |self-influence|: the change of an example's "
        "own loss by its being there. Intervals are of resampled examples.",
        "chance": {"auroc": 0.5, "average_precision": share},
    }


def _removal(config: Config) -> dict[str, Any]:
    return {
        "name": REMOVAL,
        "title": "removing the examples that help a query most",
        "short": "removing the most helpful examples",
        "kind": "use",
        "caption": f"For {config['removal']['queries']} queries that are predicted rightly, the k "
        "examples that help each most by a rung's scores are removed together and the model responds "
        "(PBRF, each with weight −1/N): the share of queries whose prediction flips (Wilson's "
        "interval), and the mean rise of their loss.",
        "chance": {},
    }
