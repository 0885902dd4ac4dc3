"""Every check, in the order of the report."""

from refimpl.oracle.checks import (
    factors,
    metamorphic,
    operators,
    outcomes,
    scores,
    spectra,
    statistical,
)
from refimpl.oracle.checks.check import Check

__all__ = ["CHECKS", "Check"]

CHECKS: tuple[Check, ...] = (
    *factors.CHECKS,
    *spectra.CHECKS,
    *operators.CHECKS,
    *scores.CHECKS,
    *metamorphic.CHECKS,
    *statistical.CHECKS,
    *outcomes.CHECKS,
)
