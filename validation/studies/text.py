"""Next character on English prose: which passages of Python's documentation a completion rests on."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from validation import data
from validation.experiments import ladder, language
from validation.parts.study import Config, Earlier, Study
from validation.training import recipes

__all__ = ["STUDY"]

CONFIG: Config = {
    "folder": "",  # of the user's .txt files; without one, the documentation that ships with Python
    "windows": 1500,  # trained on
    "train": 50,  # of these, whose influence is asked for, and over which the curvature is a mean
    # By its definition it takes 2.4 ms a parameter and window, and the matrix of all layers ("wider")
    # four times that of the tracked ones: minutes for each seed. The quick study has both.
    "full_hessian": False,
    "queries": 40,
    "length": 64,
    "prompt": 46,  # characters given at most, up to the end of a word; the others are the completion
    "model": {"width": 16, "heads": 2, "layers": 2, "mlp_width": 32},
    "training": {"weight_decay": 1e-2, "epochs": 40, "batch_size": 32, "rate": 1e-2},
    "trained_in": "float32",  # half the time; what it ends at is analysed as it is, in float64
    "tokens": True,
    "dampings": [10.0, 1.0, 1e-1, 1e-2],
    "groups": ["Kronecker", "labels", "empirical", "diagonal", "identity"],
    "retrained": {"+": [1e-1]},
    "examples": 50,
    "quasi_newton_trials": 60,
    "headline": 1e-1,
    "top": 10,
    "notable": 0.01,
}
QUICK: Config = {
    "windows": 60,
    "full_hessian": True,
    "groups": ["wider", *CONFIG["groups"]],
    "train": 12,
    "queries": 6,
    "length": 16,
    "prompt": 9,
    "training": {"weight_decay": 1e-2, "epochs": 30, "batch_size": 16, "rate": 1e-2},
    "trained_in": "float64",  # so that every processor ends at nearly the same digits
    "model": {"width": 4, "heads": 1, "layers": 2, "mlp_width": 4},
    "dampings": [1.0, 1e-1],
    "examples": 3,
    "quasi_newton_trials": 1000,
    "top": 3,
}


def load(config: Config) -> language.Corpus:
    """Windows of the documentation, or of the user's texts."""
    sizes = config["windows"], config["queries"], config["length"], config["seed"]
    windows = (
        data.folder_windows(Path(config["folder"]), *sizes)
        if config["folder"]
        else data.text_windows(*sizes)
    )
    places = [
        [f"{place.source}, character {place.offset:,}" for place in all_]
        for all_ in (windows.places, windows.query_places)
    ]
    return language.Corpus(windows.split, windows.vocabulary, *places, windows.fingerprint)


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    first = next(iter(by_seed.values()))
    left_out = "The full Hessian and the matrix of all layers are left out: minutes for each seed."
    source = "the user's texts" if config["folder"] else "the documentation that ships with Python"
    return ladder.results(config, by_seed) | {
        "name": "text",
        "title": "Which passages does a completion rest on? A 2-layer Transformer on English prose",
        "setting": (
            f"Next character on {source} (text {first['train'].values['fingerprint']}), in windows of "
            f"{config['length']} characters. A decoder-only Transformer (pre-norm, causal attention, "
            f"GELU) is trained by Adam on {config['windows']:,} windows, "
            f"{recipes.seeds(by_seed)}; its MLP layers are "
            "tracked, attention and embeddings frozen. Influence is asked of "
            f"{config['train']} of these windows, and the curvature is a mean over the same ones. "
            "Queries come from other topics; the measurement is the log-likelihood of a window's last "
            f"words given those before, some {config['length'] + 1 - config['prompt']} "
            f"characters.{'' if config['full_hessian'] else ' ' + left_out}"
        ),
        "facts": language.facts(config, first),
    }


STUDY = Study(
    "text",
    sys.modules[__name__],
    CONFIG,
    QUICK,
    partial(language.parts_of, load),
    results,
    seeds=(0, 1, 2),
)
