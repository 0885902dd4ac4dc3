"""Every check, in the order of the report."""

from refimpl.oracle.checks import stages
from refimpl.oracle.checks.check import Check

__all__ = ["CHECKS", "Check"]

CHECKS: tuple[Check, ...] = (*stages.CHECKS,)
