"""Handwritten digits, a convolutional network: the ladder where weights are shared over positions."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

import refimpl as ri
from validation import data
from validation.experiments import classifier, trained_model
from validation.models import networks
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["STUDY"]

CONFIG: Config = {
    "train": 500,
    "queries": 100,
    "channels": [6, 10],
    "weight_decay": 1e-3,
    "iterations": 1500,
    "newton": 0,
    "dampings": [1e-1, 1e-2, 1e-3, 1e-4],
    "groups": ["Kronecker", "labels", "empirical", "LiSSA", "diagonal", "identity"],
    "retrained": {"+": [1e-1, 1e-2, 1e-3], "-": [1e-1, 1e-2, 1e-3, 1e-4]},
    "examples": 40,
    "quasi_newton_trials": 300,
    "scratch": {"examples": 10, "seeds": 2, "trials": 400},
    "halves": {"models": 40, "seeds": 2, "trials": 200},
    "mislabelled": {"share": 0.1, "classes": 10},
    "removal": {"queries": 12, "sizes": [1, 5, 20], "trials": 150},
    "headline": 1e-3,
    "top": 10,
    "notable": 0.01,
}
QUICK: Config = {
    "train": 80,
    "queries": 16,
    "channels": [2, 3],
    "iterations": 1000,
    "newton": 4,  # so that every processor ends at the same digits
    "dampings": [1e-1, 1e-2],
    "retrained": {"+": [1e-1], "-": [1e-1, 1e-2]},
    "examples": 6,
    "scratch": {"examples": 3, "seeds": 2, "trials": 800},
    "halves": {"models": 6, "seeds": 2, "trials": 400},
    "removal": {"queries": 3, "sizes": [1, 5], "trials": 100},
    "headline": 1e-2,
    "top": 3,
}


def load(config: Config) -> data.Split:
    """The images, in the order of the seed."""
    return data.digit_images(config["train"], config["queries"], config["seed"])


def cnn(config: Config, generator: torch.Generator) -> nn.Module:
    """Convolutions and a linear layer."""
    return networks.cnn(config["channels"], 10, generator)


RECIPE = Recipe(load, ri.losses.CrossEntropy(), cnn)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    channels = " and ".join(map(str, config["channels"]))
    return trained_model.results(config, by_seed) | {
        "name": "digits_cnn",
        "title": "Where weights are shared over positions: handwritten digits, convolutions",
        "setting": (
            "scikit-learn's 8 × 8 handwritten digits, pixels in [0, 1]; 3 × 3 convolutions of "
            f"{channels} channels with tanh units, then a softmax layer, "
            f"{recipes.how(config, by_seed, 'images')}. The measurement is each query's loss."
        ),
        "facts": recipes.facts(config, by_seed),
    }


STUDY = Study(
    "digits_cnn",
    sys.modules[__name__],
    CONFIG,
    QUICK,
    partial(classifier.parts_of, RECIPE),
    results,
    seeds=(0, 1, 2),
)
