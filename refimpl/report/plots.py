"""Plots as SVG that takes its colours from the page, so that one drawing serves light and dark."""

import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from refimpl.report import text

__all__ = ["Line", "Strip", "bars", "lines", "scatter", "strips", "style_of", "traces"]

# What is drawn in these colours takes the page's own: see `_themed` and style.css. The slots are
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


@dataclass(frozen=True)
class Line:
    """A series over the damping: values with intervals, and how it is drawn."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    slot: int
    variant: int = 0


@dataclass(frozen=True)
class Strip:
    """A row of dots: one value per retraining; those that missed are drawn as crosses."""

    name: str
    values: list[float]
    missed: list[float] = field(default_factory=list[float])


def style_of(families: Sequence[str]) -> list[tuple[int, int]]:
    """(colour slot, variant) of each name: a family shares a colour, its members differ in dashes.

    Families beyond the colours share the last one: none passes for another's first.

    Args:
        families: The family of each name, in order.
    """
    order = list(dict.fromkeys(families))
    slots = [min(order.index(family), len(SLOTS) - 1) for family in families]
    return [(slot, slots[:i].count(slot)) for i, slot in enumerate(slots)]


def lines(
    series: Sequence[Line],
    *,
    label: str,
    limits: tuple[float, float] | None = None,
    log: bool = False,
    chance: float | None = None,
) -> str:
    """Agreement over damping, each series named at its end, with bands for the intervals.

    Args:
        series: What to draw.
        label: Of the vertical axis.
        limits: Of the vertical axis.
        log: Whether the vertical axis is logarithmic.
        chance: Drawn as a dotted line: the value of unrelated scores.
    """
    with rc_context(RC):
        figure, axes = _figure(4.9, 3.1, (0.115, 0.15, _width_beside(series), 0.80))
        for s in series:
            colour, dash = SLOTS[s.slot], DASHES[s.variant % len(DASHES)]
            axes.fill_between(s.x, s.low, s.high, color=colour, alpha=0.11, linewidth=0)
            axes.plot(
                s.x, s.y, color=colour, linestyle=dash, linewidth=1.6, markersize=3.4,
                marker=MARKERS[s.variant % len(MARKERS)],
            )  # fmt: skip
        dampings = sorted({x for s in series for x in s.x})
        axes.set_xscale("log")
        axes.set_xlim(dampings[-1] * 1.25, dampings[0] / 1.25)  # less damping to the right
        axes.xaxis.set_major_locator(FixedLocator(dampings))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.damping(v)))
        axes.set_xlabel("damping λ (less to the right)")
        if log:
            axes.set_yscale("log")
            lowest, highest = min(min(s.low) for s in series), max(max(s.high) for s in series)
            narrow = highest < 100 * lowest
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        if limits is not None:
            axes.set_ylim(*limits)
        if chance is not None:
            axes.axhline(chance, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.set_ylabel(label)
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        _name_at_the_end(axes, series, log)
        return _svg(figure, label)


def _width_beside(series: Sequence[Line]) -> float:
    """How much of the drawing's width the axes may take so that the longest name fits beside them.

    The page chooses the font, so the width of a letter is that of a wide one: 0.58 em.
    """
    longest = max(len(s.name) for s in series) * 0.58 * 8.5 / 72  # inches
    free = (4.9 * (1 - 0.115) - longest) / 1.05  # names begin a twentieth beyond the axes
    return min(0.53, max(0.3, free / 4.9))


def _name_at_the_end(axes: Axes, series: Sequence[Line], log: bool) -> None:
    """Write each name beside its line's last point, moved apart where they would collide."""
    bottom, top = axes.get_ylim()
    change = math.log10 if log else float
    low, high = change(bottom), change(top)

    def height(value: float) -> float:
        return (change(value) - low) / (high - low)

    gap = 0.072  # of the axes' height: one line of text
    wanted = sorted(((height(s.y[s.x.index(min(s.x))]), s) for s in series), key=lambda p: p[0])
    places = [h for h, _ in wanted]
    for _ in range(200):  # push neighbours apart until none overlap
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
        shift = min(0.0, 1.03 - places[-1]) if places else 0.0
        places = [p + shift for p in places]
        if places and places[0] < -0.05:
            places = [p - 0.05 - places[0] for p in places]
    for (true, s), place in zip(wanted, places, strict=True):
        axes.annotate(
            s.name, xy=(1.0, true), xytext=(1.05, place), xycoords="axes fraction",
            textcoords="axes fraction", va="center", color=SLOTS[s.slot], fontsize=8.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": SLOTS[s.slot], "linewidth": 0.6, "alpha": 0.6,
                        "shrinkA": 1, "shrinkB": 0, "relpos": (0.0, 0.5)},
        )  # fmt: skip


def scatter(
    predicted: Sequence[float], measured: Sequence[float], *, limit: float, linear: float, name: str
) -> str:
    """Predicted against measured changes, on axes linear near zero and logarithmic beyond.

    Args:
        predicted: Horizontal.
        measured: Vertical.
        limit: The axes reach from -limit to limit.
        linear: Where they turn from linear to logarithmic.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = _figure(2.6, 2.6, (0.18, 0.16, 0.80, 0.82))
        axes.plot([-limit, limit], [-limit, limit], color=MUTED, linewidth=0.8)
        axes.scatter(
            np.clip(predicted, -limit, limit), np.clip(measured, -limit, limit), s=3.6, color=DOT,
            alpha=0.36, linewidths=0, rasterized=True, zorder=3,
        )  # fmt: skip
        decades = range(math.ceil(math.log10(linear)), math.floor(math.log10(limit)) + 1)
        marks = [10.0**d for d in decades][::-1][::2]
        ticks = [-m for m in marks] + [0.0] + marks[::-1]
        for axis, scale, bounds in (
            (axes.xaxis, axes.set_xscale, axes.set_xlim),
            (axes.yaxis, axes.set_yscale, axes.set_ylim),
        ):
            scale("symlog", linthresh=linear, linscale=0.6)
            bounds(-limit, limit)
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(_signed_power))
        axes.grid(color=GRID, linewidth=0.5)
        axes.tick_params(length=0, labelsize=7.5)
        axes.set_xlabel("predicted", labelpad=1)
        axes.set_ylabel("measured", labelpad=0)
        axes.set_aspect("equal")
        return _svg(figure, name)


def strips(rows: Sequence[Strip], *, label: str, tolerance: float | None, log: bool) -> str:
    """Rows of dots, one per retraining, spread vertically so that none hides another.

    Args:
        rows: From top to bottom.
        label: Of the horizontal axis.
        tolerance: Drawn as a vertical line.
        log: Whether the horizontal axis is logarithmic.
    """
    with rc_context(RC):
        height = 0.7 + 0.27 * len(rows)
        # A letter takes about 0.0142 of the width; the names have what they need up to two thirds.
        left = min(max(0.34, 0.0142 * max(len(row.name) for row in rows) + 0.02), 0.66)
        figure, axes = _figure(4.9, height, (left, 0.5 / height, 0.97 - left, 1 - 0.58 / height))
        for i, row in enumerate(rows):
            everything = row.values + row.missed
            # A fixed low-discrepancy jitter: the same drawing every time.
            jitter = [0.62 * ((k * 0.618034) % 1.0 - 0.5) for k in range(len(everything))]
            ys = [len(rows) - 1 - i + j for j in jitter]
            kept = len(row.values)
            axes.scatter(row.values, ys[:kept], s=4, color=SLOTS[1], alpha=0.55, linewidths=0)
            axes.scatter(row.missed, ys[kept:], s=22, color=SLOTS[2], marker="x", linewidths=1.1)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.damping(v)))
        if tolerance is not None:
            axes.axvline(tolerance, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], color=INK)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_xlabel(label)
        return _svg(figure, label)


def traces(series: dict[str, tuple[list[int], list[float]]], *, name: str) -> str:
    """Residuals over steps, both logarithmic.

    Args:
        series: Steps and residuals, by name.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = _figure(4.9, 2.7, (0.115, 0.17, 0.86, 0.78))
        for i, (label, (steps, residuals)) in enumerate(series.items()):
            colour, dash = SLOTS[(1 + i) % len(SLOTS)], DASHES[i % len(DASHES)]
            axes.plot(steps, residuals, color=colour, linestyle=dash, linewidth=1.6, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_xlabel("steps")
        axes.set_ylabel("relative residual")
        axes.legend(frameon=False, loc="lower left", labelcolor=INK)
        return _svg(figure, name)


def bars(groups: dict[str, list[float]], *, label: str, level: float, name: str) -> str:
    """Shares by tenth of the training losses, groups side by side, with the level of no effect.

    Args:
        groups: Shares in each tenth, by group.
        label: Of the horizontal axis.
        level: Drawn as a dotted line.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = _figure(4.9, 2.5, (0.115, 0.18, 0.86, 0.74))
        width = 0.84 / len(groups)
        for i, (group, shares) in enumerate(groups.items()):
            xs = [k + (i - (len(groups) - 1) / 2) * width for k in range(len(shares))]
            axes.bar(xs, [100 * s for s in shares], 0.92 * width, color=SLOTS[1 + i], label=group)
        axes.axhline(100 * level, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        tenths = len(next(iter(groups.values())))
        axes.set_xticks(range(tenths), [f"{10 * k}–{10 * k + 10}" for k in range(tenths)], size=7.5)
        axes.tick_params(length=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f} %"))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(label)
        axes.legend(frameon=False, loc="upper left", labelcolor=INK)
        return _svg(figure, name)


def _signed_power(value: float, _: object) -> str:
    if value == 0:
        return "0"
    return ("\u2212" if value < 0 else "") + text.damping(abs(value))


def _figure(
    width: float, height: float, box: tuple[float, float, float, float]
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0.0)
    axes = figure.add_axes(box)
    axes.patch.set_alpha(0.0)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
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
