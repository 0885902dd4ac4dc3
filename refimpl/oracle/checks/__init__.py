"""Every check, in the order of the report, collected from the modules of this folder."""

import pkgutil
from importlib import import_module
from typing import get_args

from refimpl.oracle.checks.check import Check, Family
from refimpl.oracle.stages import place

__all__ = ["CHECKS", "Check", "every_check"]


def every_check() -> list[Check]:
    """The checks of all modules: family by family, those of single stages in the order of these."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    checks = [check for module in modules for check in getattr(module, "CHECKS", ())]
    families = get_args(Family)

    def order(check: Check) -> tuple[int, int]:
        single = check.family == "stages"  # the others' relations go through several stages
        return families.index(check.family), place(check.stage) if single else 0

    return sorted(checks, key=order)


CHECKS: list[Check] = every_check()
