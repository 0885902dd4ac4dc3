"""The measured margins of every check, as margins.json holds them, and in words."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

__all__ = ["in_words", "measured_margins"]


def measured_margins() -> Mapping[str, Any]:
    """By check the worst honest ratio, the smallest faulty one, and the faults; none if not measured."""
    path = resources.files("refimpl.oracle.selftest").joinpath("margins.json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def in_words(margins: Mapping[str, Any]) -> str:
    """Both margins of a check in words."""
    return ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, '.2g')}"
        for name in ("honest", "faulty")
        if (value := margins[name]) is not None
    )
