"""MNIST, the walk-through's MLP: exact influences of 55,000 parameters through the kernel of examples."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import refimpl as ri
from validation import data
from validation.experiments import classifier, trained_model
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["STUDY"]

CONFIG: Config = {
    "folder": "",  # of MNIST's four files; without one, scikit-learn's digits drawn larger
    "train": 1000,
    "queries": 60,
    "sizes": [784, 64, 64, 10],  # those of the code that the walk-through links to
    "activation": "relu",
    "weight_decay": 1e-3,
    "iterations": 300,
    "newton": 0,
    "dampings": [1e-1, 1e-2, 1e-3],
    # The empirical Fisher would be a matrix of 50,000 x 50,000.
    "groups": ["Kronecker", "labels", "diagonal", "identity"],
    "retrained": {},  # ReLU's kinks keep most from becoming stationary; the other studies retrain
    "examples": 0,
    "headline": 1e-2,
    "top": 10,
    "notable": 0.01,
}
QUICK: Config = {
    "train": 120,
    "queries": 12,
    "sizes": [784, 8, 8, 10],
    "iterations": 100,
    "dampings": [1e-1, 1e-2],
    "top": 3,
}


def load(config: Config) -> data.Split:
    """MNIST's images from the user's folder, or scikit-learn's digits at MNIST's size."""
    sizes = config["train"], config["queries"], config["seed"]
    if config["folder"]:
        return data.mnist_images(Path(config["folder"]), *sizes)
    return data.upsampled_digit_images(*sizes)


RECIPE = Recipe(load, ri.losses.CrossEntropy(), recipes.mlp)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    parameters = next(iter(by_seed.values()))["train"].values["parameters"]
    hidden = "-".join(map(str, config["sizes"]))
    real = bool(config["folder"])
    images = (
        "MNIST's handwritten digits (28 × 28)"
        if real
        else "No MNIST was given (--mnist FOLDER), so these are scikit-learn's 8 × 8 digits, drawn at "
        "MNIST's 28 × 28 by bilinear interpolation: coarser and easier than MNIST"
    )
    return trained_model.results(config, by_seed) | {
        "name": "mnist",
        "title": f"The walk-through's MNIST experiment, MLP {hidden}"
        + ("" if real else ", on digits drawn larger"),
        "setting": (
            f"{images}. A softmax MLP {hidden} with ReLU units, "
            f"{recipes.how(config, by_seed, 'images')}. The exact GNH of its {parameters:,} parameters is "
            "solved through the kernel of pairs of examples and never formed. The measurement "
            "is each query's loss."
        ),
        "facts": recipes.facts(config, by_seed),
    }


STUDY = Study(
    "mnist", sys.modules[__name__], CONFIG, QUICK, partial(classifier.parts_of, RECIPE), results
)
