"""Honest implementations: refimpl and the oracle's second one in NumPy, in any conventions."""

from collections.abc import Mapping

from refimpl.oracle.adapter import Adapter, Declaration
from refimpl.oracle.conventions import Conventions, choices
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.reference import Reference

__all__ = ["KINDS", "implementation", "variants"]

KINDS = {"reference": Reference, "pipeline": Pipeline}


def variants() -> list[dict[str, str]]:
    """Conventions of honest implementations: the defaults, and every other choice by itself."""
    changed = [
        {name: choice}
        for name in Conventions.__dataclass_fields__
        for choice in choices(name)[1:]
        if choice not in ("tf32", "float16", "bfloat16")
    ]
    return [{}, *changed]


def implementation(kind: str, conventions: Mapping[str, str]) -> Adapter:
    """An honest implementation that declares some conventions.

    Args:
        kind: One of KINDS.
        conventions: As they differ from the defaults.
    """
    adapter = KINDS[kind]()
    adapter.declaration = Declaration(kind, conventions=dict(conventions))
    return adapter
