"""Breast cancer, two classes: binary cross-entropy, nearly separable."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import refimpl as ri
from validation import data
from validation.experiments import trained_model
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["STUDY"]

CONFIG: Config = {
    "train": 400,
    "queries": 150,
    "sizes": [30, 16, 1],
    "activation": "tanh",
    "weight_decay": 1e-3,
    "iterations": 2000,
    "newton": 0,
    "dampings": [1e-1, 1e-2, 1e-3, 1e-4],
    "groups": ["Kronecker", "labels", "empirical", "LiSSA", "diagonal", "identity"],
    "retrained": {"+": [1e-1, 1e-2, 1e-3, 1e-4], "-": [1e-1, 1e-2, 1e-3, 1e-4]},
    "examples": 100,
    "quasi_newton_trials": 400,
    "scratch": {"examples": 30, "seeds": 3, "trials": 800},
    "halves": {"models": 100, "seeds": 2, "trials": 400},
    "mislabelled": {"share": 0.1, "classes": 2},
    "removal": {"queries": 30, "sizes": [1, 5, 20], "trials": 200},
    "headline": 1e-3,
    "top": 10,
}
QUICK: Config = {
    "train": 120,
    "queries": 24,
    "sizes": [30, 4, 1],
    "iterations": 1000,
    "newton": 4,  # so that every processor ends at the same digits
    "dampings": [1e-1, 1e-3],
    "retrained": {"+": [1e-1, 1e-3], "-": [1e-1, 1e-3]},
    "examples": 10,
    "scratch": {"examples": 5, "seeds": 2, "trials": 200},
    "halves": {"models": 10, "seeds": 2, "trials": 150},
    "removal": {"queries": 5, "sizes": [1, 5], "trials": 200},
    "top": 3,
}


def load(config: Config) -> data.Split:
    """The patients, in the order of the seed."""
    return data.tumours(config["train"], config["queries"], config["seed"])


RECIPE = Recipe(load, ri.losses.BinaryCrossEntropy(), recipes.mlp)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    hidden = "-".join(map(str, config["sizes"]))
    return trained_model.results(config, by_seed) | {
        "name": "breast_cancer",
        "title": f"Two classes, nearly separable: breast cancer, MLP {hidden}",
        "setting": (
            "scikit-learn's Wisconsin breast cancer data, inputs standardised; an MLP "
            f"{hidden} with tanh units and binary cross-entropy, "
            f"{recipes.how(config, by_seed, 'patients')}. The measurement is each query's loss."
        ),
        "facts": recipes.facts(config, by_seed),
    }


STUDY = Study(
    "breast_cancer",
    sys.modules[__name__],
    CONFIG,
    QUICK,
    partial(trained_model.parts_of, RECIPE),
    results,
    seeds=(0, 1, 2),
)
