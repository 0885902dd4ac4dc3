"""The trust report: what each level of verification claims, measured, and how far from its bound."""

from validation.trust.identities import IDENTITIES, missing, table
from validation.trust.levels import LEVELS, Level, Summary, Test, read, summarise
from validation.trust.page import write

__all__ = [
    "IDENTITIES",
    "LEVELS",
    "Level",
    "Summary",
    "Test",
    "missing",
    "read",
    "summarise",
    "table",
    "write",
]
