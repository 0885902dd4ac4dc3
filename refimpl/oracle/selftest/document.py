"""docs/checks.md from the checks: python -m refimpl.oracle.selftest.document > docs/checks.md."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from refimpl.oracle.checks import CHECKS, Check

__all__ = ["document"]

HEAD = """# Checks

Written by `python -m refimpl.oracle.selftest.document > docs/checks.md`; a test keeps it current.

A check's ratio is its error over the unit roundoff of the declared dtype times a scale; it passes below
its threshold. *Margins* are the worst ratio of the honest implementations on all cases in every
convention, and the smallest at which the check fails a planted fault on the first case that shows it (an
infinite one: no ratio, as for one answer to every seed). `refimpl faults --margins` measured them.
"""
FAMILIES = {
    "stages": "One stage against the reference, or against what any such answer obeys.",
    "metamorphic": "Relations between an implementation's own answers.",
    "statistical": "Sampled labels, with 1e-6 false alarms for all these checks of a run together.",
    "outcomes": "What the retrained model must be.",
}


def document(margins: Mapping[str, Any]) -> str:
    """The page.

    Args:
        margins: Figures by check, as margins.json holds them.
    """
    parts = [HEAD]
    for family, meaning in FAMILIES.items():
        own = [check for check in CHECKS if check.family == family]
        parts.append(f"## {family.capitalize()}\n\n{meaning} {len(own)} checks.\n")
        parts += [_section(check, margins.get(check.slug, {})) for check in own]
    return "\n".join(parts)


def _section(check: Check, margins: Mapping[str, Any]) -> str:
    rows = {
        "stage": f"`{check.stage}`, {' and '.join(check.modes)}",
        "equation": f"`{check.equation}`",
        "source": check.source,
        "scale": f"{check.tolerance}; threshold {check.threshold:g}",
    }
    if margins:
        rows["margins"] = both(margins)
        rows["catches"] = (
            f"{len(margins['catches'])} planted faults: `refimpl explain {check.slug}`"
        )
    listed = "\n".join(f"- {name}: {value}" for name, value in rows.items())
    return f"### {check.slug}\n\n{check.statement}\n\n{listed}\n"


def both(margins: Mapping[str, Any]) -> str:
    """A check's two margins in words.

    Args:
        margins: The check's, as margins.json holds them.
    """
    return ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, '.2g')}"
        for name in ("honest", "faulty")
        if (value := margins[name]) is not None
    )


def measured() -> Mapping[str, Any]:
    """By check the worst honest ratio, the smallest faulty one, and the faults; none if not measured."""
    path = resources.files("refimpl.oracle.selftest").joinpath("margins.json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    print(document(measured()), end="")
