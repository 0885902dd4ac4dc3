"""The look of every drawing: colours from the page, so that one SVG serves light and dark."""

import html
import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "DASHES",
    "DOT",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "RC",
    "SLOTS",
    "new_axes",
    "style_of",
    "svg_of",
]

# What is drawn in these colours takes the page's own: see `svg_of` and style.css. The slots are
# those of Okabe & Ito's palette, which colour-blind readers can tell apart.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
SLOTS = ["#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05", "#0a0a06", "#0a0a07"]
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {
    colour: f"--series-{i}" for i, colour in enumerate(SLOTS)
}
# Raster dots cannot follow the page, so they are of a middle tone that shows on white and on black.
DOT = "#3d8bd1"
DASHES = ["-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5))]
MARKERS = ["o", "s", "D", "^"]
RC: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.unicode_minus": True,
}


def style_of(families: Sequence[str]) -> list[tuple[int, int]]:
    """(colour slot, variant) of each name: a family shares a colour, its members differ in dashes.

    Families beyond the last colour share it, so that none is taken for the first.

    Args:
        families: The family of each name, in order.
    """
    order = list(dict.fromkeys(families))
    slots = [min(order.index(family), len(SLOTS) - 1) for family in families]
    return [(slot, slots[:i].count(slot)) for i, slot in enumerate(slots)]


def new_axes(
    width: float, height: float, box: tuple[float, float, float, float]
) -> tuple[Figure, Axes]:
    """An empty drawing without background, and its axes.

    Args:
        width: Of the drawing, inches.
        height: Of the drawing, inches.
        box: Left, bottom, width and height of the axes, as shares of the drawing.
    """
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0.0)
    axes = figure.add_axes(box)
    axes.patch.set_alpha(0.0)
    return figure, axes


def svg_of(figure: Figure, name: str) -> str:
    """The drawing as an SVG element whose colours and fonts are the page's.

    Args:
        figure: The drawing.
        name: For readers who do not see it.
    """
    stream = io.StringIO()
    # A fixed salt: an identifier is then a hash of what it names, the same in every run, and two
    # drawings of one page share one only where they share the thing.
    with rc_context({"svg.hashsalt": "refimpl"}):
        figure.savefig(stream, format="svg", dpi=220, metadata={"Date": None})
    return _themed(stream.getvalue(), name)


def _themed(svg: str, name: str) -> str:
    """The drawing without file headers, scaling with the page, fonts and colours from its style."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    label = html.escape(name, quote=True)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg)
