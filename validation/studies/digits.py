"""Handwritten digits, a softmax MLP: every curvature against the exact GNH and against retraining."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import refimpl as ri
from validation import data
from validation.experiments import classifier, trained_model
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["STUDY"]

CONFIG: Config = {
    "train": 1000,
    "queries": 200,
    "sizes": [64, 32, 10],
    "activation": "tanh",
    "weight_decay": 1e-3,
    "iterations": 2000,
    "newton": 0,
    "dampings": [1e-1, 1e-2, 1e-3, 1e-4],
    "groups": ["Kronecker", "labels", "empirical", "LiSSA", "diagonal", "identity"],
    "retrained": {"+": [1e-1, 1e-2, 1e-3, 1e-4], "-": [1e-1, 1e-2, 1e-3, 1e-4]},
    "examples": 200,  # retrained, at each of these dampings and signs
    # L-BFGS alone: where it does not converge (at the smallest damping, examples being removed) Newton
    # steps cost twice the time of as many more of these, and minutes are to be enough.
    "quasi_newton_trials": 400,
    "scratch": {"examples": 16, "seeds": 3, "trials": 300},
    "halves": {"models": 48, "seeds": 2, "trials": 200},
    "mislabelled": {"share": 0.1, "classes": 10},
    "removal": {"queries": 10, "sizes": [1, 5, 20], "trials": 200},
    "headline": 1e-3,  # the damping of scatter plots, pictures and findings
    "top": 10,
    "notable": 0.01,  # a change of a query's loss by this, its probability by one per cent
}
QUICK: Config = {
    "train": 150,
    "queries": 24,
    "sizes": [64, 6, 10],
    "iterations": 1000,
    "newton": 4,  # so that every processor ends at the same digits
    "dampings": [1e-1, 1e-3],
    "retrained": {"+": [1e-1, 1e-3], "-": [1e-1, 1e-3]},
    "examples": 8,
    "scratch": {"examples": 4, "seeds": 2, "trials": 200},
    "halves": {"models": 8, "seeds": 2, "trials": 400},
    "removal": {"queries": 4, "sizes": [1, 5], "trials": 200},
    "top": 3,
}


def load(config: Config) -> data.Split:
    """The images, in the order of the seed."""
    return data.digit_images(config["train"], config["queries"], config["seed"])


RECIPE = Recipe(load, ri.losses.CrossEntropy(), recipes.mlp)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    hidden = "-".join(map(str, config["sizes"]))
    return trained_model.results(config, by_seed) | {
        "name": "digits",
        "title": f"How far can an influence estimate be trusted? Handwritten digits, MLP {hidden}",
        "setting": (
            f"scikit-learn's 8 × 8 handwritten digits, pixels in [0, 1]; a softmax MLP {hidden} with "
            f"tanh units, {recipes.how(config, by_seed, 'images')}. The measurement is each query's loss."
        ),
        "facts": recipes.facts(config, by_seed),
    }


STUDY = Study(
    "digits",
    sys.modules[__name__],
    CONFIG,
    QUICK,
    partial(classifier.parts_of, RECIPE),
    results,
    seeds=(0, 1, 2),
)
