"""What the benches' numbers say: each target beside its measurement, tables, drawings."""

import math
from collections.abc import Mapping
from typing import Any

from refimpl.report import speed, text
from validation.bench.influences import growth
from validation.bench.measure import median, ratio

__all__ = ["Found", "drawings", "tables", "targets"]

Values = Mapping[str, Any]
Found = Mapping[str, Mapping[str, Values]]  # by bench, by part

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
FLAGSHIP = "784-1024-1024-10"


def _under(found: Found, bench: str, prefix: str) -> dict[str, Values]:
    """The parts of a bench below a prefix, by what follows it."""
    return {
        name.removeprefix(prefix + "/"): values
        for name, values in found.get(bench, {}).items()
        if name.startswith(prefix + "/")
    }


def _target(target: str, measured: str, met: bool | None) -> dict[str, Any]:
    verdict = {True: "met", False: "missed", None: "not measured"}[met]
    return {"target": target, "measured": measured if met is not None else "–", "verdict": verdict}


def _at_least(target: str, goal: float, values: Mapping[str, float]) -> dict[str, Any]:
    """A target that the smallest of some ratios must reach."""
    measured = ", ".join(f"{times(v)} ({name})" for name, v in values.items())
    return _target(target, measured, min(values.values()) >= goal if values else None)


def _below(target: str, goal: float, values: Mapping[str, float]) -> dict[str, Any]:
    """A target that the largest of some errors must stay under."""
    if not values:
        return _target(target, "", None)
    name = max(values, key=lambda n: values[n])
    return _target(target, f"at most {text.power(values[name])} ({name})", values[name] < goal)


def _within(target: str, goal: float, values: Values | None, extra: str = "") -> dict[str, Any]:
    """A target of so many seconds."""
    if values is None:
        return _target(target, "", None)
    taken = median(values["seconds"])
    return _target(target, text.seconds(taken) + extra, taken < goal)


def targets(found: Found) -> list[dict[str, Any]]:
    """Each target with what was measured and whether that meets it.

    Args:
        found: What each part of each bench measured.
    """
    beside, alone = _under(found, "dense", "beside"), _under(found, "dense", "alone")
    routes = found.get("influences", {})
    fits, sampled = _under(found, "ekfac", "exact"), _under(found, "ekfac", "sampled")
    scores = _under(found, "ekfac", "scores")
    responses = found.get("responses", {}).get("beside")
    errors = {n: v["error"] for n, v in found.get("dense", {}).items() if "error" in v}
    return [
        _at_least(
            "(a) Dense GNH 20 times faster than curvlinops in its best chunks of columns", 20.0,
            {n: ratio(v["seconds"], "curvlinops", "structured") for n, v in beside.items()},
        ),
        _at_least(
            "(a) Half of the rate of a matrix product, on its own operations, for P ≥ 5,000", 0.5,
            {n: share(v) for n, v in alone.items() if v["parameters"] >= 5000},
        ),
        _below("(a) Relative error to the definition below 10⁻¹²", 1e-12, errors),
        _within(
            f"(b) Exact influences, 1,000 × 100, MLP {FLAGSHIP}, within 2 minutes", 120.0,
            routes.get(f"dual/{FLAGSHIP}"),
        ),
        _below(
            "(b) Backward error below 10⁻¹²", 1e-12, {n: v["backward_error"] for n, v in routes.items()}
        ),
        _within(
            "(b) P = 20,000 by the primal route within 5 minutes", 300.0,
            max(_under(found, "influences", "primal").values(), key=lambda v: v["parameters"],
                default=None),
        ),
        _at_least(
            "(c) EK-FAC fit, exact Fisher, twice as fast as curvlinops", 2.0,
            {n: ratio(v["fit"], "curvlinops", "refimpl") for n, v in fits.items()},
        ),
        _at_least(
            "(c) EK-FAC fit, one sampled label, 10 times faster than kronfluence", 10.0,
            {n: ratio(v["fit"], quickest(v["fit"]), "refimpl") for n, v in sampled.items()},
        ),
        _at_least(
            "(c) Pairwise scores 10 times faster than kronfluence", 10.0,
            {n: ratio(v["seconds"], quickest(v["seconds"]), "refimpl") for n, v in scores.items()},
        ),
        _at_least(
            "(c) Damped solves no slower than curvlinops, like for like: no certificate", 1.0,
            {n: ratio(v["solve"], "curvlinops", "refimpl, no certificate") for n, v in fits.items()},
        ),
        _at_least(
            "(c) The same with our certificate, which multiplies once more", 1.0,
            {n: ratio(v["solve"], "curvlinops", "refimpl") for n, v in fits.items()},
        ),
        _below(
            "(c) The same answers: difference below unit roundoff × condition number", 1.0,
            {
                f"{what}, {n}": v["difference"] / (UNIT[n] * v["condition"])
                for what, group in (("solves", fits), ("scores", scores))
                for n, v in group.items()
            },
        ),
        _at_least(
            "(d) 100 times more certified PBRF solves a second than Adam", 100.0,
            {"Adam's best rate": per_solve(responses, "Adam") / per_solve(responses, "refimpl")}
            if responses else {},
        ),
        *(_memory(found)),
    ]  # fmt: skip


def _memory(found: Found) -> list[dict[str, Any]]:
    """The peaks: what they are of what the output needs, and how they grow with it."""
    shown: list[dict[str, Any]] = []
    for label, parts in (
        ("(a) dense GNH", _under(found, "dense", "memory")),
        ("(b) primal", _under(found, "influences", "primal")),
        ("(b) dual", _under(found, "influences", "dual")),
        ("(b) iterative", _under(found, "influences", "iterative")),
    ):
        values = sorted(parts.values(), key=lambda v: v["parameters"])
        target = f"{label}: peak memory grows no faster than what the route must hold"
        if len(values) < 2:
            shown.append(_target(target, "", None))
            continue
        held = [needed(v) for v in values]
        power = growth(held, [max(float(v["peak"]), 1.0) for v in values])
        largest = values[-1]
        shown.append(
            _target(
                target,
                f"{size(largest['peak'])} at P = {largest['parameters']:,}, "
                f"{largest['peak'] / held[-1]:.1f} times what must be held; exponent {power:.2f}",
                power <= 1.0,
            )
        )
    return shown


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
    beside, memory = _under(found, "dense", "beside"), _under(found, "dense", "memory")
    rows: list[list[str]] = []
    for name, v in _under(found, "dense", "alone").items():
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
    parts = found.get("influences", {})
    probes = {n.split("/")[1]: v["probe"] for n, v in parts.items() if n.startswith("dual/")}
    for name, v in parts.items():
        route, sizes = name.split("/")
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
        for dtype, v in _under(found, "ekfac", part).items():
            ours = v[key]["refimpl"]
            for name, seconds in v[key].items():
                if name != "refimpl":
                    rows.append([label, dtype, duration(ours), name, duration(seconds),
                                 times(median(seconds) / median(ours))])  # fmt: skip
            if bound := v.get(f"{key}_bound"):
                rows.append([label, dtype, duration(ours), "its operations alone",
                             duration([bound] * 5), times(bound / median(ours))])  # fmt: skip
    for dtype, v in _under(found, "ekfac", "memory").items():
        rows.append(["memory of fit and scores", dtype, size(v["peak"]), "must be held",
                     size(v["output"]), times(v["output"] / v["peak"])])  # fmt: skip
    return {
        "name": "ekfac",
        "title": "(c) EK-FAC: fit, solves, scores",
        "caption": "MLP 64-256-256-10, N = 1,797, 50 queries. Ours certifies its solves; without the "
        "certificate it is its own contender. kronfluence writes its factors to disk and reads them "
        "again, as it always does. Operations alone: those of the solves (without certificate) and of all "
        "pairs at the rate of a matrix product, which exact scores cannot beat.",
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


def drawings(found: Found) -> dict[str, str]:
    """The drawing of each bench as SVG, by the table that it goes with.

    Args:
        found: What each part of each bench measured.
    """
    drawn: dict[str, str] = {}
    if beside := _under(found, "dense", "beside"):
        drawn["dense"] = speed.bars(
            {
                f"MLP {n}": {k: median(s) for k, s in v["seconds"].items()}
                for n, v in beside.items()
            },
            name="seconds of the dense Gauss-Newton matrix",
        )
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for route in ("primal", "dual", "iterative"):
        values = sorted(_under(found, "influences", route).values(), key=lambda v: v["parameters"])
        if len(values) < 2:
            continue
        x = [float(v["parameters"]) for v in values]
        y = [median(v["seconds"]) for v in values]
        curves[f"{route}, {law(x, y)}"] = x, y
    if curves:
        drawn["influences"] = speed.curves(curves, name="seconds of exact influences over P")
    groups: dict[str, dict[str, float]] = {}
    for part, key, label in (
        ("exact", "fit", "fit, exact"), ("sampled", "fit", "fit, sampled"),
        ("exact", "solve", "solves"), ("scores", "seconds", "scores"),
    ):  # fmt: skip
        for dtype, v in _under(found, "ekfac", part).items():
            other = quickest({k: s for k, s in v[key].items() if "certificate" not in k})
            groups[f"{label}, {dtype}"] = {
                "refimpl": median(v[key]["refimpl"]),
                other.split(",")[0]: median(v[key][other]),
            }
    if groups:
        drawn["ekfac"] = speed.bars(groups, name="seconds of EK-FAC")
    if v := found.get("responses", {}).get("beside"):
        each = {name: per_solve(v, name) for name in ("refimpl", "Adam")}
        drawn["responses"] = speed.bars({"one response": each}, name="seconds a response")
    return drawn


def law(x: list[float], y: list[float]) -> str:
    """How seconds grow with P at the largest sizes: t ~ P^b."""
    last = slice(-3, None)
    power = growth(x[last], y[last])
    return f"t ~ P^{power:.2f}" if math.isfinite(power) else ""
