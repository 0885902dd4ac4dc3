"""Every case, by id: hostile by construction, small, and certified (see `spectrum`)."""

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from refimpl.oracle.cases import recipes
from refimpl.oracle.cases.cookbook import Recipe, recorded
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.question.case import Case

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["QUICK", "RECIPES", "all_cases", "drawn", "every_recipe", "quick"]


def every_recipe() -> list[Recipe]:
    """The recipes of all modules in `recipes/`, family by family."""
    modules = [
        import_module(f"{recipes.__name__}.{m.name}")
        for m in pkgutil.iter_modules(recipes.__path__)
    ]
    every = [v for module in modules for v in vars(module).values() if isinstance(v, Recipe)]
    return sorted(every, key=lambda r: r.place)


RECIPES: dict[str, Recipe] = {r.id: r for r in every_recipe()}

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
def _case(id: str) -> Case:
    if id not in recorded():
        raise ValueError(
            f"case {id!r} has no seed yet: run python -m refimpl.oracle.cases.spectrum"
        )
    return RECIPES[id](Draw(id, recorded()[id]["seed"]))


def all_cases() -> dict[str, Case]:
    """All cases, in the order of the report."""
    return {id: _case(id) for id in RECIPES}


def quick() -> dict[str, Case]:
    """The most telling cases."""
    return {id: _case(id) for id in QUICK}


def drawn(*, smooth: bool = False) -> "SearchStrategy[Case]":
    """A hypothesis strategy of cases; hypothesis is needed here alone.

    Args:
        smooth: Whether activations must be differentiable everywhere.
    """
    from refimpl.oracle.cases.strategy import drawn as strategy

    return strategy(smooth=smooth)
