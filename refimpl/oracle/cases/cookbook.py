"""Recipe: how a case is made from random numbers, what in it exposes a bug, and its recorded spectrum."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.question.case import Case

__all__ = ["FAMILIES", "SPECTRA", "Recipe", "recipe", "recorded"]

SPECTRA = Path(__file__).with_name("spectra.json")
# The order of the report; families that do not stand here follow.
FAMILIES = (
    "mlp",
    "tokens",
    "losses",
    "convolution",
    "shared",
    "transformer",
    "degenerate",
    "conditioning",
)


@dataclass(frozen=True)
class Recipe:
    """A recipe: draws a case from random numbers.

    Args:
        id: The case's id.
        flags: Flags of what in it exposes a bug; see `refimpl.oracle.vectors.flags`.
        make: Draws weights and data.
    """

    id: str
    flags: tuple[str, ...]
    make: Callable[[Draw], Case]

    def __call__(self, draw: Draw) -> Case:
        """Make the case of these random numbers.

        Args:
            draw: Random numbers of the case's id and seed.
        """
        return self.make(draw).but(flags=self.flags)

    @property
    def place(self) -> int:
        """Position of its family in the report."""
        family = self.id.partition("/")[0]
        return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def recipe(id: str, flags: str) -> Callable[[Callable[[Draw], Case]], Recipe]:
    """Declare a function that draws a case as its recipe.

    Args:
        id: The case's id.
        flags: Flags of the case, with spaces between them.
    """
    return lambda make: Recipe(id, tuple(flags.split()), make)


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """Seed and smallest gap of every case, as `refimpl.oracle.cases.spectrum` recorded them."""
    return json.loads(SPECTRA.read_text())
