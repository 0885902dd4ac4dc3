"""Drawings of times: bars of contenders side by side, and curves over the number of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from refimpl.report.drawing import DASHES, GRID, INK, MARKERS, MUTED, RC, SLOTS, new_axes, svg_of

__all__ = ["bars", "curves"]


def bars(groups: Mapping[str, Mapping[str, float]], *, name: str) -> str:
    """Seconds of each contender, group by group, on a logarithmic axis.

    Args:
        groups: Seconds by contender, by group; a contender keeps its colour from group to group.
        name: For readers who do not see the drawing.
    """
    contenders = list(dict.fromkeys(c for group in groups.values() for c in group))
    values = [v for group in groups.values() for v in group.values()]
    left = min(values) / 3  # a logarithmic axis has no zero to start from
    count = sum(len(group) for group in groups.values()) + 0.6 * len(groups)
    with rc_context(RC):
        height = 0.9 + 0.2 * count
        figure, axes = new_axes(6.2, height, (0.25, 0.5 / height, 0.64, 1 - 0.9 / height))
        at, ticks = 0.0, []
        for seconds in groups.values():
            ticks.append(at - (len(seconds) - 1) / 2)
            for contender, value in seconds.items():
                colour = SLOTS[1 + contenders.index(contender) % (len(SLOTS) - 1)]
                label = contender if contender not in axes.get_legend_handles_labels()[1] else None
                axes.barh(at, value - left, 0.82, left=left, color=colour, label=label)
                axes.text(value * 1.08, at, _seconds(value), va="center", color=INK, fontsize=8)
                at -= 1
            at -= 0.6
        axes.set_xscale("log")
        axes.set_xlim(left, 1.2 * max(values))
        axes.set_yticks(ticks, list(groups), color=INK)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(LogLocator())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _seconds(v)))
        axes.set_xlabel("logarithmic", labelpad=1)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(
            frameon=False,
            loc="upper left",
            ncols=len(contenders),
            labelcolor=INK,
            bbox_to_anchor=(0.24, 1.0),
            handlelength=1.0,
        )
        return svg_of(figure, name)


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, name: str) -> str:
    """Seconds over the number of parameters, both logarithmic.

    Args:
        series: Numbers of parameters and seconds, by label.
        name: For readers who do not see the drawing.
    """
    with rc_context(RC):
        figure, axes = new_axes(6.2, 3.4, (0.1, 0.14, 0.87, 0.82))
        for i, (label, (x, y)) in enumerate(series.items()):
            style: dict[str, Any] = {
                "color": SLOTS[1 + i % (len(SLOTS) - 1)],
                "linestyle": DASHES[i % len(DASHES)],
                "marker": MARKERS[i % len(MARKERS)],
            }
            axes.plot(x, y, linewidth=1.6, markersize=4, label=label, **style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _seconds(v)))
        axes.grid(color=GRID, linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel("parameters P", color=MUTED)
        axes.legend(
            frameon=False,
            loc="lower left",
            ncols=len(series),
            labelcolor=INK,
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
        )
        return svg_of(figure, name)


def _seconds(value: float) -> str:
    if value < 1e-3:
        return f"{1e6 * value:.3g} µs"
    if value < 1:
        return f"{1e3 * value:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"
