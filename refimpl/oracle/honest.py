"""Honest implementations: refimpl and the oracle's second one, in any conventions."""

from collections.abc import Mapping
from typing import Any

from refimpl.oracle.adapter import Adapter, Declaration
from refimpl.oracle.conventions import Conventions, choices
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.reference import Reference

__all__ = ["KINDS", "implementation", "variants"]

KINDS = {"reference": Reference, "pipeline": Pipeline}


def variants() -> list[dict[str, str]]:
    """How honest implementations may differ: not at all, or in one convention, or in the curvature.

    Factored damping is K-FAC's.
    """
    changed = [
        {name: choice}
        for name in Conventions.__dataclass_fields__
        for choice in choices(name)[1:]
        if choice not in ("tf32", "float16", "bfloat16")
    ]
    factored = {"damping": "factored"}
    return [
        {},
        *(variant for variant in changed if variant != factored),
        {"curvature": "kfac"},
        {"curvature": "kfac"} | factored,
        {"curvature": "gauss_newton"},
    ]


def implementation(kind: str, variant: Mapping[str, str]) -> Adapter:
    """An honest implementation that declares what it is.

    Args:
        kind: One of KINDS.
        variant: Its conventions as they differ from the defaults, and its "curvature" if not EK-FAC.
    """
    conventions: dict[str, Any] = dict(variant)
    curvature = conventions.pop("curvature", "ekfac")
    adapter = KINDS[kind]()
    adapter.declaration = Declaration(kind, curvature=curvature, conventions=conventions)
    return adapter
