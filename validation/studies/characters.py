"""Alternating letters and digits: the walk-through's own task for a 2-layer Transformer."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from validation import data
from validation.experiments import ladder, language
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes

__all__ = ["STUDY"]

CONFIG: Config = {
    "train": 195,  # all windows of the first 200 characters, as the walk-through's code has them
    "queries": 55,
    "prompt": 2,  # a letter and a digit, in either order: the rest of the window is then certain
    "model": {"width": 16, "heads": 2, "layers": 2, "mlp_width": 32},
    "training": {"weight_decay": 1e-3, "iterations": 2000},
    "trained_in": "float64",
    "tokens": True,
    "dampings": [1.0, 1e-1, 1e-2, 1e-3],
    "groups": ["wider", "Kronecker", "labels", "empirical", "diagonal", "identity"],
    # The model is so sure of itself that below this hardly a retraining becomes stationary.
    "retrained": {"+": [1.0, 1e-1], "-": [1.0, 1e-1]},
    "examples": 50,
    "quasi_newton_trials": 200,
    "headline": 1e-1,
    "top": 10,
    "notable": 0.001,  # of a log-likelihood that is near zero: the task is learnt
}
QUICK: Config = {
    "train": 30,
    "queries": 8,
    "training": {"weight_decay": 1e-3, "iterations": 30},
    "model": {"width": 4, "heads": 1, "layers": 2, "mlp_width": 4},
    "dampings": [1.0, 1e-1],
    "retrained": {"+": [1e-1]},
    "examples": 4,
    "top": 3,
}


def load(config: Config) -> language.Corpus:
    """The stream's windows; queries from where it pairs letters and digits that training did not."""
    count = None if config["train"] == CONFIG["train"] else config["train"]
    windows = data.character_windows(config["queries"], config["seed"], train=count)
    places = [
        [f"characters {p} to {p + 4}" for p in all_]
        for all_ in (windows.places, windows.query_places)
    ]
    return language.Corpus(windows.split, windows.vocabulary, *places)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    first = next(iter(by_seed.values()))
    return ladder.results(config, by_seed) | {
        "name": "characters",
        "title": "The walk-through's character task: a 2-layer Transformer on a0b1c2d3…",
        "setting": (
            "Letters and digits alternate and each kind counts upwards: a0b1c2d3 … z5a6b7 …. A "
            "decoder-only Transformer (pre-norm, causal attention, GELU) is trained by L-BFGS on the "
            f"{config['train']} windows of five of the first 200 characters, "
            f"{recipes.seeds(by_seed)}; its MLP layers are "
            "tracked, attention and embeddings frozen. Queries are windows from later in the stream, "
            "with pairs of letter and digit that training did not have; the measurement is the "
            "log-likelihood of the last three characters given the first two."
        ),
        "facts": language.facts(config, first),
    }


STUDY = Study(
    "characters", sys.modules[__name__], CONFIG, QUICK, partial(language.parts_of, load), results
)
