"""Badges that name the stages that conform."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.results.report import Report, Status
from refimpl.oracle.stages import STAGES

__all__ = ["badge_text", "write_badge"]

LABEL = "influence functions"
# As shields.io names colours, and as they are drawn here: white text keeps a contrast of 4.5 on them.
COLOURS = {"brightgreen": "#2b7a0b", "red": "#c0392b", "orange": "#a85d00", "lightgrey": "#666666"}


def badge_text(report: Report) -> tuple[str, str]:
    """The badge's words and its colour."""
    status = {stage: report.status(stage) for stage in STAGES}
    failing = [s for s in STAGES if status[s] is Status.FAILS]
    conforming = [s for s in STAGES if status[s] is Status.CONFORMS]
    deviating = {o.stage for o in report.outcomes if o.verdict is Verdict.DEVIATES}
    unshown = f"; not shown: {_words(list(report.not_shown))}" if report.not_shown else ""
    if failing:
        return f"fails: {_words(failing)}", "red"
    if report.selection != "all":
        return f"not checked in full{unshown}", "lightgrey"
    if not conforming:
        return (unshown.removeprefix("; ") or "undecided"), "lightgrey"
    known = [s for s in STAGES if s in deviating]
    words = f"conforms: {_words(conforming)}{unshown}"
    if unshown:
        return (f"{words}; declared deviations" if known else words), "orange"
    return (f"{words}; declared deviations", "orange") if known else (words, "brightgreen")


def _words(stages: list[str]) -> str:
    return (
        "all stages"
        if len(stages) == len(STAGES)
        else ", ".join(s.replace("_", "-") for s in stages)
    )


def write_badge(report: Report, path: Path) -> None:
    """Write a badge: SVG, or for a name that ends in .json what shields.io's endpoint badges read."""
    words, colour = badge_text(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        plain = {"schemaVersion": 1, "label": LABEL, "message": words, "color": colour}
        path.write_text(json.dumps(plain) + "\n", encoding="utf-8")
    else:
        path.write_text(_svg(words, COLOURS[colour]), encoding="utf-8")


def _svg(words: str, colour: str) -> str:
    left, right = _width(LABEL), _width(words)
    total = left + right
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img" '
        f'aria-label="{escape(LABEL)}: {escape(words)}">'
        f"<title>{escape(LABEL)}: {escape(words)}</title>"
        f'<clipPath id="r"><rect width="{total}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11"><text x="{left / 2}" y="14" textLength="{left - 12}">{escape(LABEL)}</text>'
        f'<text x="{left + right / 2}" y="14" textLength="{right - 12}">{escape(words)}</text></g></svg>\n'
    )


def _width(text: str) -> int:
    return 12 + round(6.4 * len(text))  # Verdana's mean advance at 11 px; textLength does the rest
