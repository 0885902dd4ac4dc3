"""Each target beside what was measured."""

from collections.abc import Mapping
from typing import Any

from refimpl.report import text
from validation.bench.influences import growth
from validation.bench.measure import median, ratio
from validation.bench.measurements import (
    Measurements,
    Values,
    needed,
    per_solve,
    quickest,
    share,
    size,
    times,
    under,
)

__all__ = ["judged_targets"]

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
FLAGSHIP = "784-1024-1024-10"


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


def judged_targets(measured: Measurements) -> list[dict[str, Any]]:
    """Each target with what was measured and whether that meets it.

    Args:
        measured: Values of each part of each bench.
    """
    parts = (_dense, _influences, _ekfac, _responses, _memory)
    return [target for part in parts for target in part(measured)]


def _dense(measured: Measurements) -> list[dict[str, Any]]:
    beside, alone = under(measured, "dense", "beside"), under(measured, "dense", "alone")
    errors = {n: v["error"] for n, v in measured.get("dense", {}).items() if "error" in v}
    ratios = {n: ratio(v["seconds"], "curvlinops", "structured") for n, v in beside.items()}
    shares = {n: share(v) for n, v in alone.items() if v["parameters"] >= 5000}
    faster = "(a) Dense GNH 20 times faster than curvlinops in its best chunks of columns"
    rate = "(a) Half of the rate of a matrix product, on its own operations, for P ≥ 5,000"
    return [
        _at_least(faster, 20.0, ratios),
        _at_least(rate, 0.5, shares),
        _below("(a) Relative error to the definition below 10⁻¹²", 1e-12, errors),
    ]


def _influences(measured: Measurements) -> list[dict[str, Any]]:
    routes = measured.get("influences", {})
    primal = under(measured, "influences", "primal").values()
    largest = max(primal, key=lambda v: v["parameters"], default=None)
    errors = {n: v["backward_error"] for n, v in routes.items()}
    flagship = f"(b) Exact influences, 1,000 × 100, MLP {FLAGSHIP}, within 2 minutes"
    return [
        _within(flagship, 120.0, routes.get(f"dual/{FLAGSHIP}")),
        _below("(b) Backward error below 10⁻¹²", 1e-12, errors),
        _within("(b) P = 20,000 by the primal route within 5 minutes", 300.0, largest),
    ]


def _ekfac(measured: Measurements) -> list[dict[str, Any]]:
    fits, sampled = under(measured, "ekfac", "exact"), under(measured, "ekfac", "sampled")
    scores = under(measured, "ekfac", "scores")

    def against(contender: str, key: str, ours: str = "refimpl") -> dict[str, float]:
        return {n: ratio(v[key], contender, ours) for n, v in fits.items()}

    drawn = {n: ratio(v["fit"], quickest(v["fit"]), "refimpl") for n, v in sampled.items()}
    pairs = {n: ratio(v["seconds"], quickest(v["seconds"]), "refimpl") for n, v in scores.items()}
    apart = {
        f"{what}, {n}": v["difference"] / (UNIT[n] * v["condition"])
        for what, group in (("solves", fits), ("scores", scores))
        for n, v in group.items()
    }
    alike = "(c) Damped solves no slower than curvlinops, like for like: no certificate"
    same = "(c) The same answers: difference below unit roundoff × condition number"
    return [
        _at_least(
            "(c) EK-FAC fit, exact Fisher, twice as fast as curvlinops",
            2.0,
            against("curvlinops", "fit"),
        ),
        _at_least(
            "(c) EK-FAC fit, one sampled label, 10 times faster than kronfluence", 10.0, drawn
        ),
        _at_least("(c) Pairwise scores 10 times faster than kronfluence", 10.0, pairs),
        _at_least(alike, 1.0, against("curvlinops", "solve", "refimpl, no certificate")),
        _at_least(
            "(c) The same with our certificate, which multiplies once more",
            1.0,
            against("curvlinops", "solve"),
        ),
        _below(same, 1.0, apart),
    ]


def _responses(measured: Measurements) -> list[dict[str, Any]]:
    values = measured.get("responses", {}).get("beside")
    ratios: dict[str, float] = {}
    if values:
        ratios["Adam's best rate"] = per_solve(values, "Adam") / per_solve(values, "refimpl")
    return [_at_least("(d) 100 times more certified PBRF solves a second than Adam", 100.0, ratios)]


def _memory(measured: Measurements) -> list[dict[str, Any]]:
    """Peaks of memory over the least that must be held, and the exponent of their growth."""
    verdicts: list[dict[str, Any]] = []
    for label, parts in (
        ("(a) dense GNH", under(measured, "dense", "memory")),
        ("(b) primal", under(measured, "influences", "primal")),
        ("(b) dual", under(measured, "influences", "dual")),
        ("(b) iterative", under(measured, "influences", "iterative")),
    ):
        values = sorted(parts.values(), key=lambda v: v["parameters"])
        target = f"{label}: peak memory grows no faster than what the route must hold"
        if len(values) < 2:
            verdicts.append(_target(target, "", None))
            continue
        held = [needed(v) for v in values]
        power = growth(held, [max(float(v["peak"]), 1.0) for v in values])
        largest = values[-1]
        verdicts.append(
            _target(
                target,
                f"{size(largest['peak'])} at P = {largest['parameters']:,}, "
                f"{largest['peak'] / held[-1]:.1f} times what must be held; exponent {power:.2f}",
                power <= 1.0,
            )
        )
    return verdicts
