"""Plots of single studies: predicted against measured changes, certificates, traces, shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import rc_context
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from refimpl.report import text
from refimpl.report.drawing import DASHES, DOT, GRID, INK, MUTED, RC, SLOTS, new_axes, svg_of

__all__ = ["Strip", "bars", "scatter", "strips", "traces"]


@dataclass(frozen=True)
class Strip:
    """A row of dots: one value per retraining; those that missed are drawn as crosses."""

    name: str
    values: list[float]
    missed: list[float] = field(default_factory=list[float])


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
        figure, axes = new_axes(2.6, 2.6, (0.18, 0.16, 0.80, 0.82))
        axes.plot([-limit, limit], [-limit, limit], color=MUTED, linewidth=0.8)
        x, y = np.clip(predicted, -limit, limit), np.clip(measured, -limit, limit)
        axes.scatter(x, y, s=3.6, color=DOT, alpha=0.36, linewidths=0, rasterized=True, zorder=3)
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
        return svg_of(figure, name)


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
        figure, axes = new_axes(4.9, height, (left, 0.5 / height, 0.97 - left, 1 - 0.58 / height))
        for i, row in enumerate(rows):
            everything = row.values + row.missed
            # A fixed low-discrepancy jitter: the same drawing every time.
            jitter = [0.62 * ((k * 0.618034) % 1.0 - 0.5) for k in range(len(everything))]
            ys = [len(rows) - 1 - i + j for j in jitter]
            hits = len(row.values)
            axes.scatter(row.values, ys[:hits], s=4, color=SLOTS[1], alpha=0.55, linewidths=0)
            axes.scatter(row.missed, ys[hits:], s=22, color=SLOTS[2], marker="x", linewidths=1.1)
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
        return svg_of(figure, label)


def traces(series: dict[str, tuple[list[int], list[float]]], *, name: str) -> str:
    """Residuals over steps, both logarithmic.

    Args:
        series: Steps and residuals, by name.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = new_axes(4.9, 2.7, (0.115, 0.17, 0.86, 0.78))
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
        return svg_of(figure, name)


def bars(groups: dict[str, list[float]], *, label: str, level: float, name: str) -> str:
    """Shares by tenth of the training losses, groups side by side, with the level of no effect.

    Args:
        groups: Shares in each tenth, by group.
        label: Of the horizontal axis.
        level: Drawn as a dotted line.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = new_axes(4.9, 2.5, (0.115, 0.18, 0.86, 0.74))
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
        return svg_of(figure, name)


def _signed_power(value: float, _: object) -> str:
    if value == 0:
        return "0"
    return ("\u2212" if value < 0 else "") + text.damping(abs(value))
