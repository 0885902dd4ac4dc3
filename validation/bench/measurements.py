"""Measurements of the benches' parts, the figures derived from them, and how they are written."""

from collections.abc import Mapping
from typing import Any

from refimpl.report import text
from validation.bench.measure import median

__all__ = [
    "Measurements",
    "Values",
    "duration",
    "needed",
    "per_solve",
    "quickest",
    "routes",
    "share",
    "size",
    "times",
    "under",
]

Values = Mapping[str, Any]
Measurements = Mapping[str, Mapping[str, Values]]  # by bench, by part


def under(measured: Measurements, bench: str, prefix: str) -> dict[str, Values]:
    """The parts of a bench below a prefix, by what follows it."""
    return {
        name.removeprefix(prefix + "/"): values
        for name, values in measured.get(bench, {}).items()
        if name.startswith(prefix + "/")
    }


def routes(measured: Measurements) -> dict[str, dict[str, Values]]:
    """The exact influences by route and model, the smallest model first."""
    return {
        route: dict(
            sorted(under(measured, "influences", route).items(), key=lambda m: m[1]["parameters"])
        )
        for route in ("primal", "dual", "iterative")
    }


def needed(values: Values) -> float:
    """Bytes that a route cannot do without: the larger of its output and the matrix it factors."""
    return float(max(values["output"], values.get("estimate", {}).get("bytes", 0)))


def share(values: Values) -> float:
    """The structured assembly's share of the rate of a large square product."""
    return values["flops"] / median(values["seconds"]["structured"]) / values["rate"]


def quickest(seconds: Mapping[str, list[float]]) -> str:
    """The quickest contender other than refimpl."""
    return min((n for n in seconds if n != "refimpl"), key=lambda n: median(seconds[n]))


def per_solve(values: Values, name: str) -> float:
    """Seconds per response: Adam solves one at a time, refimpl many."""
    seconds = median(values["seconds"][name])
    return seconds / values["responses"] if name == "refimpl" else seconds


def times(value: float) -> str:
    """A ratio, written "2.50×"."""
    return f"{value:.2f}×" if value < 10 else f"{value:,.0f}×"


def size(value: float | int) -> str:
    """Bytes, written in MB or GB."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(seconds: list[float]) -> str:
    """A median with the number of runs where they are few."""
    value = median(seconds)
    shown = f"{1000 * value:.3g} ms" if value < 1 else text.seconds(value)
    return shown if len(seconds) >= 5 else f"{shown} ({len(seconds)} run{'s'[: len(seconds) - 1]})"
