"""The numbers behind the targets, a table a bench."""

from typing import Any

from refimpl.report import text
from validation.bench.found import (
    Found,
    Values,
    duration,
    needed,
    per_solve,
    routes,
    share,
    size,
    times,
    under,
)  # fmt: skip
from validation.bench.measure import median

__all__ = ["tables"]


def tables(found: Found) -> list[dict[str, Any]]:
    """The numbers behind the targets.

    Args:
        found: What each part of each bench measured.
    """
    return [
        t
        for t in (_dense(found), _influences(found), _ekfac(found), _responses(found))
        if t["rows"]
    ]


def _dense(found: Found) -> dict[str, Any]:
    beside, memory = under(found, "dense", "beside"), under(found, "dense", "memory")
    rows: list[list[str]] = []
    for name, v in under(found, "dense", "alone").items():
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
        "head": ["MLP", "P", "structured", "product", "rate", "definition", "curvlinops", "error", "peak"],
        "rows": rows,
    }  # fmt: skip


def _influences(found: Found) -> dict[str, Any]:
    rows: list[list[str]] = []
    by_route = routes(found)
    probes = {sizes: v["probe"] for sizes, v in by_route["dual"].items()}
    for route, models in by_route.items():
        for sizes, v in models.items():
            bound = v["estimate"]["flops"] / v["rate"]
            apart = "–"
            if route != "dual" and sizes in probes:
                gap = max(abs(a - b) / b for a, b in zip(v["probe"], probes[sizes], strict=True))
                apart = text.power(gap)
            rows.append(
                [route, sizes, f"{v['parameters']:,}", duration(v["seconds"]),
                 f"{bound:.3g} s" if bound < 1000 else text.power(bound) + " s",
                 text.power(v["backward_error"]), apart, size(v["peak"]), size(needed(v))]
            )  # fmt: skip
    return {
        "name": "influences",
        "title": "(b) Exact influences of 1,000 examples on 100 queries",
        "caption": "From the trained model to all scores, λ = 10⁻³. The bound is the route's operations "
        "at the rate of a large square matrix product (for the iterative route, 200 steps). The "
        "difference is that of sums of the scores from the dual route's. Memory: the peak, and the least "
        "that must be held.",
        "head": ["route", "MLP", "P", "time", "bound", "backward error", "difference", "peak", "least"],
        "rows": rows,
    }  # fmt: skip


def _ekfac(found: Found) -> dict[str, Any]:
    rows: list[list[str]] = []
    for part, key, label in (
        ("exact", "fit", "fit, exact Fisher"),
        ("sampled", "fit", "fit, one sampled label"),
        ("exact", "solve", "50 damped solves"),
        ("scores", "seconds", "50 × 1,797 scores"),
    ):
        for dtype, v in under(found, "ekfac", part).items():
            ours = v[key]["refimpl"]
            for name, seconds in v[key].items():
                if name != "refimpl":
                    rows.append([label, dtype, duration(ours), name, duration(seconds),
                                 times(median(seconds) / median(ours))])  # fmt: skip
            if bound := v.get(f"{key}_bound"):
                rows.append([label, dtype, duration(ours), "its operations alone",
                             duration([bound] * 5), times(bound / median(ours))])  # fmt: skip
    for dtype, v in under(found, "ekfac", "low-rank").items():
        ours = v["seconds"]["refimpl"]
        for rank, error in v["error"].items():
            label = f"products with all examples, loss {text.power(error)}"
            once = f"rank {rank}, made once in {duration(v['compression'][rank])}"
            rows.append([label, dtype, duration(ours), once, duration(v["seconds"][rank]),
                         times(median(v["seconds"][rank]) / median(ours))])  # fmt: skip
    for dtype, v in under(found, "ekfac", "memory").items():
        rows.append(["memory of fit and scores", dtype, size(v["peak"]), "must be held",
                     size(v["output"]), times(v["output"] / v["peak"])])  # fmt: skip
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


def _responses(found: Found) -> dict[str, Any]:
    parts = found.get("responses", {})
    rows = [
        ["Adam, first response only", _settings(v), duration([v["seconds"]] * 5), f"{v['taken']:,}",
         text.power(v["relative"]), "–"]
        for name, v in parts.items()
        if name.startswith("adam/")
    ]  # fmt: skip
    if v := parts.get("beside"):
        rows += [
            ["refimpl", f"{v['responses']} at a time", duration([per_solve(v, "refimpl")] * 5),
             f"{v['steps']:.0f}", text.power(v["relative"]), "–"],
            ["Adam", _settings(v), duration([per_solve(v, "Adam")] * 5), "–",
             text.power(v["relative_adam"]), text.power(v["difference"])],
        ]  # fmt: skip
    return {
        "name": "responses",
        "title": "(d) Proximal Bregman responses",
        "caption": "Each to the same gradient norm relative to its start. The difference is that of the "
        "parameters reached from ours, relative to how far the response moved them.",
        "head": ["solver", "how", "time each", "steps", "relative gradient norm", "difference"],
        "rows": rows,
    }
