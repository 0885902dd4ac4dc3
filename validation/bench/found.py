"""What the benches' parts measured, and how its numbers are derived and written."""

from collections.abc import Mapping
from typing import Any

from refimpl.report import text
from validation.bench.measure import median

__all__ = [
    "Found", "Values", "duration", "needed", "per_solve", "quickest", "routes", "share", "size", "times",
    "under",
]  # fmt: skip

Values = Mapping[str, Any]
Found = Mapping[str, Mapping[str, Values]]  # by bench, by part


def under(found: Found, bench: str, prefix: str) -> dict[str, Values]:
    """The parts of a bench below a prefix, by what follows it."""
    return {
        name.removeprefix(prefix + "/"): values
        for name, values in found.get(bench, {}).items()
        if name.startswith(prefix + "/")
    }


def routes(found: Found) -> dict[str, dict[str, Values]]:
    """The exact influences by route and model, the smallest model first."""
    return {
        route: dict(
            sorted(under(found, "influences", route).items(), key=lambda m: m[1]["parameters"])
        )
        for route in ("primal", "dual", "iterative")
    }


def needed(values: Values) -> float:
    """Bytes that a route cannot do without: its output, and the matrix that it factors."""
    return float(max(values["output"], values.get("estimate", {}).get("bytes", 0)))


def share(values: Values) -> float:
    """Of the rate of a large square product, what the structured assembly reaches."""
    return values["flops"] / median(values["seconds"]["structured"]) / values["rate"]


def quickest(seconds: Mapping[str, list[float]]) -> str:
    """The quickest contender that is not ours."""
    return min((n for n in seconds if n != "refimpl"), key=lambda n: median(seconds[n]))


def per_solve(values: Values, name: str) -> float:
    """Seconds a response: Adam's are one each, ours many at a time."""
    seconds = median(values["seconds"][name])
    return seconds / values["responses"] if name == "refimpl" else seconds


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f}×" if value < 10 else f"{value:,.0f}×"


def size(value: float | int) -> str:
    """Bytes."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(seconds: list[float]) -> str:
    """A median with the number of runs where they are few."""
    value = median(seconds)
    shown = f"{1000 * value:.3g} ms" if value < 1 else text.seconds(value)
    return shown if len(seconds) >= 5 else f"{shown} ({len(seconds)} run{'s'[: len(seconds) - 1]})"
