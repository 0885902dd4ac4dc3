"""Each target beside what was measured."""

from collections.abc import Mapping
from typing import Any

from refimpl.report import text
from validation.bench.found import (
    Found,
    Values,
    needed,
    per_solve,
    quickest,
    share,
    size,
    times,
    under,
)  # fmt: skip
from validation.bench.influences import growth
from validation.bench.measure import median, ratio

__all__ = ["targets"]

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


def targets(found: Found) -> list[dict[str, Any]]:
    """Each target with what was measured and whether that meets it.

    Args:
        found: What each part of each bench measured.
    """
    beside, alone = under(found, "dense", "beside"), under(found, "dense", "alone")
    routes = found.get("influences", {})
    fits, sampled = under(found, "ekfac", "exact"), under(found, "ekfac", "sampled")
    scores = under(found, "ekfac", "scores")
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
            max(under(found, "influences", "primal").values(), key=lambda v: v["parameters"],
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
        ("(a) dense GNH", under(found, "dense", "memory")),
        ("(b) primal", under(found, "influences", "primal")),
        ("(b) dual", under(found, "influences", "dual")),
        ("(b) iterative", under(found, "influences", "iterative")),
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
