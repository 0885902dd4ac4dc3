"""Which queries a page shows: those notably influenced, evenly through their ranking."""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["notable"]


def notable(
    change: Float[np.ndarray, "Q N"], threshold: float, shown: int
) -> tuple[Int[np.ndarray, " notable"], Int[np.ndarray, " shown"]]:
    """The queries that some example moves by the threshold, the strongest first, and some to show.

    Args:
        change: Predicted changes, queries by training examples.
        threshold: What is notable.
        shown: How many to show at most.
    """
    strength = np.abs(change).max(axis=1)
    ranked = np.flatnonzero(strength >= threshold)
    ranked = ranked[np.argsort(-strength[ranked], kind="stable")]
    # Evenly through the ranking, so that neither taste nor luck chooses.
    places = np.unique(np.linspace(0, max(len(ranked) - 1, 0), shown).round().astype(int))
    return ranked, ranked[places] if len(ranked) else ranked
