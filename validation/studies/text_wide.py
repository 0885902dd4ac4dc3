"""English prose again, a wider Transformer: the exact Gauss-Newton solves without the matrix."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from validation.experiments import ladder, language
from validation.parts.study import Config, Earlier, Study
from validation.studies import text
from validation.training import recipes

__all__ = ["STUDY"]

CONFIG: Config = {
    **text.CONFIG,
    "train": 24,
    "queries": 12,
    "model": {"width": 32, "heads": 4, "layers": 2, "mlp_width": 64},
    "route": "iterative",
    "dampings": [1.0, 1e-1],
    "groups": ["Kronecker", "diagonal", "identity"],
    "retrained": {},
    "examples": 0,
    "top": 5,
    "passages": False,  # `text` shows them; each would take the solves once more
}
QUICK: Config = {
    **text.QUICK,
    "groups": CONFIG["groups"],
    "examples": 0,
    "model": text.QUICK["model"] | {"mlp_width": 6},
}


def results(config: Config, by_seed: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of the page."""
    first = next(iter(by_seed.values()))
    values = first["train"].values
    return ladder.results(config, by_seed) | {
        "name": "text_wide",
        "title": "English prose, a wider Transformer: exact solves by conjugate gradients",
        "setting": (
            f"The study “text” with a model of {values['parameters']:,} tracked parameters, "
            f"{recipes.seeds(by_seed)} (text {values['fingerprint']}). The exact Gauss-Newton Hessian is "
            "not formed: its solves are conjugate gradients on products by differentiation, each "
            f"certified by its residual. Influence is asked of {config['train']} windows of "
            f"{config['length']} characters, over which the curvature is a mean."
        ),
        "facts": language.facts(config, first),
    }


STUDY = Study(
    "text_wide",
    sys.modules[__name__],
    CONFIG,
    QUICK,
    partial(language.parts_of, text.load),
    results,
)
