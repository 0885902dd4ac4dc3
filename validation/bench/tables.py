"""The numbers behind the targets, a table a bench."""

from typing import Any

from refimpl.report import text
from validation.bench.measure import median
from validation.bench.measurements import (
    Measurements,
    Values,
    duration,
    needed,
    per_solve,
    routes,
    share,
    size,
    times,
    under,
)

__all__ = ["bench_tables"]


def bench_tables(measured: Measurements) -> list[dict[str, Any]]:
    """The numbers behind the targets.

    Args:
        measured: Values of each part of each bench.
    """
    return [
        t
        for t in (_dense(measured), _influences(measured), _ekfac(measured), _responses(measured))
        if t["rows"]
    ]


def _dense(measured: Measurements) -> dict[str, Any]:
    beside, memory = under(measured, "dense", "beside"), under(measured, "dense", "memory")
    rows: list[list[str]] = []
    for name, v in under(measured, "dense", "alone").items():
        other, held = beside.get(name), memory.get(name)
        rows.append(
            [
                name,
                f"{v['parameters']:,}",
                duration(v["seconds"]["structured"]),
                duration(v["seconds"]["product"]),
                f"{100 * share(v):.0f} %",
                duration(other["seconds"]["definition"]) if other else "–",
                f"{duration(other['seconds']['curvlinops'])}, {other['columns']} columns"
                if other
                else "–",
                text.power(v["error"]),
                f"{size(held['peak'])} of {size(held['output'])}" if held else "–",
            ]
        )
    return {
        "name": "dense",
        "title": "(a) The dense Gauss-Newton matrix",
        "caption": "Medians. The product is one matrix product of as many operations as the structured "
        "assembly has; the rate is its share of a large square product's. The error is that of products "
        "with random vectors against the definition's. Memory: the peak beyond the model and its data, "
        "and the matrix itself.",
        "head": [
            "MLP",
            "P",
            "structured",
            "product",
            "rate",
            "definition",
            "curvlinops",
            "error",
            "peak",
        ],
        "rows": rows,
    }


def _influences(measured: Measurements) -> dict[str, Any]:
    rows: list[list[str]] = []
    by_route = routes(measured)
    probes = {sizes: v["probe"] for sizes, v in by_route["dual"].items()}
    for route, models in by_route.items():
        for sizes, v in models.items():
            bound = v["estimate"]["flops"] / v["rate"]
            difference = "–"
            if route != "dual" and sizes in probes:
                gap = max(abs(a - b) / b for a, b in zip(v["probe"], probes[sizes], strict=True))
                difference = text.power(gap)
            rows.append(
                [
                    route,
                    sizes,
                    f"{v['parameters']:,}",
                    duration(v["seconds"]),
                    f"{bound:.3g} s" if bound < 1000 else text.power(bound) + " s",
                    text.power(v["backward_error"]),
                    difference,
                    size(v["peak"]),
                    size(needed(v)),
                ]
            )
    return {
        "name": "influences",
        "title": "(b) Exact influences of 1,000 examples on 100 queries",
        "caption": "From the trained model to all scores, λ = 10⁻³. The bound is the route's operations "
        "at the rate of a large square matrix product (for the iterative route, 200 steps). The "
        "difference is that of sums of the scores from the dual route's. Memory: the peak, and the least "
        "that must be held.",
        "head": [
            "route",
            "MLP",
            "P",
            "time",
            "bound",
            "backward error",
            "difference",
            "peak",
            "least",
        ],
        "rows": rows,
    }


EKFAC_ROWS = (
    ("exact", "fit", "fit, exact Fisher"),
    ("sampled", "fit", "fit, one sampled label"),
    ("exact", "solve", "50 damped solves"),
    ("scores", "seconds", "50 × 1,797 scores"),
)


def _ekfac(measured: Measurements) -> dict[str, Any]:
    rows: list[list[str]] = []

    def add(what: str, dtype: str, ours: list[float], beside: str, seconds: list[float]) -> None:
        slower = times(median(seconds) / median(ours))
        rows.append([what, dtype, duration(ours), beside, duration(seconds), slower])

    for part, key, label in EKFAC_ROWS:
        for dtype, v in under(measured, "ekfac", part).items():
            ours = v[key]["refimpl"]
            for name, seconds in v[key].items():
                if name != "refimpl":
                    add(label, dtype, ours, name, seconds)
            if bound := v.get(f"{key}_bound"):
                add(label, dtype, ours, "its operations alone", [bound] * 5)
    for dtype, v in under(measured, "ekfac", "low-rank").items():
        for rank, error in v["error"].items():
            label = f"products with all examples, loss {text.power(error)}"
            once = f"rank {rank}, made once in {duration(v['compression'][rank])}"
            add(label, dtype, v["seconds"]["refimpl"], once, v["seconds"][rank])
    for dtype, v in under(measured, "ekfac", "memory").items():
        peak, least = size(v["peak"]), size(v["output"])
        slack = times(v["output"] / v["peak"])
        rows.append(["memory of fit and scores", dtype, peak, "must be held", least, slack])
    return {
        "name": "ekfac",
        "title": "(c) EK-FAC: fit, solves, scores",
        "caption": "MLP 64-256-256-10, N = 1,797, 50 queries. Ours certifies its solves; without the "
        "certificate it is its own contender. kronfluence writes its factors to disk and reads them "
        "again, as it always does. Operations alone, at the rate of a matrix product: the solves' without "
        "certificate, and the scores', of which exact ones cannot spare the products of all pairs.",
        "head": ["what", "precision", "refimpl", "beside", "time", "ratio"],
        "rows": rows,
    }


def _settings(values: Values) -> str:
    return f"rate {values['settings']['rate']:g} falling over {values['settings']['steps']:,} steps"


def _responses(measured: Measurements) -> dict[str, Any]:
    parts = measured.get("responses", {})
    rows: list[list[str]] = []
    for name, v in parts.items():
        if name.startswith("adam/"):
            taken, relative = f"{v['taken']:,}", text.power(v["relative"])
            one = duration([v["seconds"]] * 5)
            rows.append(["Adam, first response only", _settings(v), one, taken, relative, "–"])
    if v := parts.get("beside"):
        ours, adam = (duration([per_solve(v, name)] * 5) for name in ("refimpl", "Adam"))
        relative, relative_adam = text.power(v["relative"]), text.power(v["relative_adam"])
        many = f"{v['responses']} at a time"
        rows.append(["refimpl", many, ours, f"{v['steps']:.0f}", relative, "–"])
        difference = text.power(v["difference"])
        rows.append(["Adam", _settings(v), adam, "–", relative_adam, difference])
    return {
        "name": "responses",
        "title": "(d) Proximal Bregman responses",
        "caption": "Each to the same gradient norm relative to its start. The difference is that of the "
        "parameters reached from ours, relative to how far the response moved them.",
        "head": ["solver", "how", "time each", "steps", "relative gradient norm", "difference"],
        "rows": rows,
    }
