"""Every case, by id: hostile by construction, small, and certified (see `spectrum`)."""

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from refimpl.oracle.cases import (
    convolutions,
    extremes,
    losses,
    mlps,
    shared,
    tokens,
    transformers,
)
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.question.case import Case

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["QUICK", "RECIPES", "cases", "drawn", "quick"]

RECIPES = {
    **mlps.CASES,
    **tokens.CASES,
    **losses.CASES,
    **convolutions.CASES,
    **shared.CASES,
    **transformers.CASES,
    **extremes.CASES,
}

# The most telling ones, each with flags that the others lack.
QUICK = (
    "mlp/tanh-square",
    "tokens/hostile-padding",
    "tokens/pooled",
    "tokens/square-no-bias",
    "losses/squared-error",
    "losses/smoothing-and-weights",
    "convolution/oblong",
    "shared/tied-tokens",
    "transformer/language-model",
    "conditioning/tiny-damping",
)


@cache
def _spectra() -> dict[str, dict[str, int]]:
    return json.loads(files(__name__).joinpath("spectra.json").read_text())


@cache
def _made(id: str) -> Case:
    return RECIPES[id](Draw(id, _spectra()[id]["seed"]))


def cases() -> dict[str, Case]:
    """All cases, in the order of the report."""
    return {id: _made(id) for id in RECIPES}


def quick() -> dict[str, Case]:
    """The most telling ones."""
    return {id: _made(id) for id in QUICK}


def drawn(*, smooth: bool = False) -> "SearchStrategy[Case]":
    """A hypothesis strategy of cases; hypothesis is needed here alone.

    Args:
        smooth: Whether activations must be differentiable everywhere.
    """
    from refimpl.oracle.cases.strategy import drawn as strategy

    return strategy(smooth=smooth)
