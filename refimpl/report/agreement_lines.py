"""Agreement over the damping: a line for each curvature, named at its end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from refimpl.report import text
from refimpl.report.drawing import DASHES, GRID, MARKERS, MUTED, RC, SLOTS, new_axes, svg_of

__all__ = ["Line", "lines"]

# From a line's end to its name.
LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "linewidth": 0.6,
    "alpha": 0.6,
    "shrinkA": 1,
    "shrinkB": 0,
    "relpos": (0.0, 0.5),
}


@dataclass(frozen=True)
class Line:
    """A curvature's agreement over the damping, and how it is drawn.

    Args:
        name: Written at the line's end.
        x: Dampings.
        y: Agreement at each damping.
        low: Lower ends of its intervals.
        high: Upper ends of its intervals.
        slot: Of the colour, from `style_of`.
        variant: Of dashes and markers, from `style_of`.
    """

    name: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    slot: int
    variant: int = 0


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
        figure, axes = new_axes(4.9, 3.1, (0.115, 0.15, _width_beside(series), 0.80))
        for s in series:
            colour, dash = SLOTS[s.slot], DASHES[s.variant % len(DASHES)]
            axes.fill_between(s.x, s.low, s.high, color=colour, alpha=0.11, linewidth=0)
            marker = MARKERS[s.variant % len(MARKERS)]
            style: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker}
            axes.plot(s.x, s.y, linewidth=1.6, markersize=3.4, **style)
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
        return svg_of(figure, label)


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
            s.name,
            xy=(1.0, true),
            xytext=(1.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=SLOTS[s.slot],
            fontsize=8.5,
            annotation_clip=False,
            arrowprops=LEADER | {"color": SLOTS[s.slot]},
        )
