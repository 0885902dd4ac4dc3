"""The pages on checks and conventions in docs/: python -m refimpl.oracle.selftest.pages writes them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.conventions import table
from refimpl.oracle.selftest.measured import in_words, measured_margins

__all__ = ["checks_page", "conventions_page"]

DOCS = Path("docs")
TABLE = re.compile(r"(?<=<!-- the conventions -->\n).*?(?=<!-- end -->)", re.DOTALL)

HEAD = """# Checks

Written by `python -m refimpl.oracle.selftest.pages`; a test keeps it current.

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


def conventions_page(page: str) -> str:
    """The text of docs/conventions.md with a current table.

    Args:
        page: Its text, with the markers between which the table stands.
    """
    return TABLE.sub(lambda _: table(), page)


def checks_page(margins: Mapping[str, Any]) -> str:
    """The text of docs/checks.md.

    Args:
        margins: Figures by check, as margins.json holds them.
    """
    parts = [HEAD]
    for family, meaning in FAMILIES.items():
        checks = [check for check in CHECKS if check.family == family]
        parts.append(f"## {family.capitalize()}\n\n{meaning} {len(checks)} checks.\n")
        parts += [_section(check, margins.get(check.slug, {})) for check in checks]
    return "\n".join(parts)


def _section(check: Check, margins: Mapping[str, Any]) -> str:
    rows = {
        "stage": f"`{check.stage}`, {' and '.join(check.modes)}",
        "equation": f"`{check.equation}`",
        "source": check.source,
        "scale": f"{check.scale}; threshold {check.threshold:g}",
    }
    if margins:
        rows["margins"] = in_words(margins)
        rows["catches"] = (
            f"{len(margins['catches'])} planted faults: `refimpl explain {check.slug}`"
        )
    listed = "\n".join(f"- {name}: {value}" for name, value in rows.items())
    return f"### {check.slug}\n\n{check.statement}\n\n{listed}\n"


if __name__ == "__main__":
    (DOCS / "checks.md").write_text(checks_page(measured_margins()), "utf-8")
    page = DOCS / "conventions.md"
    page.write_text(conventions_page(page.read_text("utf-8")), "utf-8")
