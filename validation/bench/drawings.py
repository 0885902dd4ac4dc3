"""The drawing of each bench."""

import math

from refimpl.report import speed
from validation.bench.influences import growth
from validation.bench.measure import median
from validation.bench.measurements import Measurements, per_solve, quickest, routes, under

__all__ = ["draw_benches", "law"]


def draw_benches(measured: Measurements) -> dict[str, str]:
    """The drawing of each bench as SVG, by the table that it goes with.

    Args:
        measured: Values of each part of each bench.
    """
    drawn: dict[str, str] = {}
    if beside := under(measured, "dense", "beside"):
        drawn["dense"] = speed.bars(
            {
                f"MLP {n}": {k: median(s) for k, s in v["seconds"].items()}
                for n, v in beside.items()
            },
            name="seconds of the dense Gauss-Newton matrix",
        )
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for route, models in routes(measured).items():
        values = list(models.values())
        if len(values) < 2:
            continue
        x = [float(v["parameters"]) for v in values]
        y = [median(v["seconds"]) for v in values]
        curves[f"{route}, {law(x, y)}"] = x, y
    if curves:
        drawn["influences"] = speed.curves(curves, name="seconds of exact influences over P")
    groups: dict[str, dict[str, float]] = {}
    for part, key, label in (
        ("exact", "fit", "fit, exact"),
        ("sampled", "fit", "fit, sampled"),
        ("exact", "solve", "solves"),
        ("scores", "seconds", "scores"),
    ):
        for dtype, v in under(measured, "ekfac", part).items():
            other = quickest({k: s for k, s in v[key].items() if "certificate" not in k})
            groups[f"{label}, {dtype}"] = {
                "refimpl": median(v[key]["refimpl"]),
                other.split(",")[0]: median(v[key][other]),
            }
    if groups:
        drawn["ekfac"] = speed.bars(groups, name="seconds of EK-FAC")
    if v := measured.get("responses", {}).get("beside"):
        each = {name: per_solve(v, name) for name in ("refimpl", "Adam")}
        drawn["responses"] = speed.bars({"one response": each}, name="seconds a response")
    return drawn


def law(x: list[float], y: list[float]) -> str:
    """The growth of seconds with P at the three largest sizes, written "t ~ P^b"."""
    last = slice(-3, None)
    power = growth(x[last], y[last])
    return f"t ~ P^{power:.2f}" if math.isfinite(power) else ""
