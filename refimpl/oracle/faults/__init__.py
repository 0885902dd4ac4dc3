"""Every fault: mistakes that people make, each an edit of one method of the pipeline.

A module for each bug type bears its name; a new fault is one function under `mistake`.
"""

from importlib import import_module
from typing import get_args

from refimpl.oracle.faults.fault import (
    BugType as BugType,
    Fault as Fault,
    edited as edited,
    faulty as faulty,
)

__all__ = ["FAULTS", "BugType", "Fault", "edited", "every_fault", "faulty"]


def every_fault() -> list[Fault]:
    """The faults of all modules, bug type by bug type."""
    modules = [
        import_module(f"{__name__}.{bug_type.replace(' ', '_')}") for bug_type in get_args(BugType)
    ]
    return [v for module in modules for v in vars(module).values() if isinstance(v, Fault)]


FAULTS: list[Fault] = every_fault()
