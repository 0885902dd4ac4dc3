"""What was measured, as the plain data of a page."""

from collections.abc import Iterable, Mapping
from typing import Any

from refimpl.rungs.curvatures import HEADLINE, LADDER, TOP, TRUTH, WIDER, Rung, rungs_of
from refimpl.rungs.operators import Record
from refimpl.rungs.outcomes import SIGNS
from refimpl.rungs.plan import Plan

__all__ = ["gather", "page_data"]

FORMAT = 1  # of refimpl.report.results, which a page without the extra `report` does not import
STATISTICS = {  # how a page names them, and which end is good
    "pearson": ("Pearson r", "higher"),
    "spearman": ("Spearman ρ", "higher"),
    "kendall": ("Kendall τ", "higher"),
    "top_k": ("top-{k} overlap", "higher"),  # of the strongest, whatever their sign
    "ihvp_error": ("iHVP error", "lower"),
    "operator_frobenius": ("ΔH, Frobenius", "lower"),
    "operator_spectral": ("ΔH, spectral", "lower"),
    "change_error": ("error of the change", "lower"),
}
KINDS = ("figures", "contrasts", "steps", "gaps", "scatter", "responses", "solves", "traces")
PLOTTED = ("pearson", "spearman", "top_k", "ihvp_error", "change_error")


def gather(results: Iterable[Mapping[str, Any]]) -> dict[str, list[Record]]:
    """The records of every part together, by kind.

    Args:
        results: Values of the parts, in order.
    """
    values = list(results)
    return {kind: [r for part in values for r in part.get(kind, [])] for kind in KINDS}


def page_data(measured: Mapping[str, list[Record]], plan: Plan) -> dict[str, Any]:
    """The plain data of a page, but for its name, title, setting and provenance.

    Args:
        measured: Records by kind, as `gather` has them.
        plan: What was compared.
    """
    figures = measured["figures"]
    names = (
        {TRUTH} | {f["curvature"] for f in figures} | {s["curvature"] for s in measured["solves"]}
    )
    curvatures = rungs_of(plan.groups, list(names))
    curvatures += [Rung(n, n, "given by the caller", "given") for n in plan.given if n in names]
    return {
        "format": FORMAT,
        "curvatures": [
            {
                "name": r.name,
                "family": r.family,
                "description": r.description,
                "plotted": r.plotted,
            }
            for r in curvatures
        ],
        "truth": TRUTH,
        "above": [name for name in (TOP, WIDER) if name in names],
        "ladder": [name for name in LADDER if name in names],
        "headline": {"damping": plan.headline, "curvature": HEADLINE, "statistic": "pearson"},
        "references": _references(measured, plan),
        "statistics": [
            {
                "name": name,
                "label": label.format(k=plan.top_k),
                "better": better,
                "plotted": name in PLOTTED,
            }
            for name, (label, better) in STATISTICS.items()
        ],
        "agreement": figures,
        **{kind: measured[kind] for kind in KINDS if kind != "figures"},
    }


def _references(measured: Mapping[str, list[Record]], plan: Plan) -> list[dict[str, Any]]:
    """The exact scores, those of the full Hessian, and the retrainings of either sign."""
    there = {r["reference"] for kind in ("figures", "responses") for r in measured[kind]}
    # Of an error: what predicting no change at all would give.
    unrelated = {"pearson": 0.0, "spearman": 0.0, "ihvp_error": 1.0, "change_error": 1.0}
    references: list[dict[str, Any]] = []
    for name, what in ((TRUTH, "Gauss-Newton Hessian"), (TOP, "full Hessian")):
        if name not in there:
            continue
        more = (
            ""
            if name == TRUTH
            else " It is the top of the ladder, and no approximation; where it is indefinite its "
            "damped inverse may be, too."
        )
        references.append(
            {
                "name": name,
                "title": f"agreement with the {'exact ' if name == TRUTH else ''}{what}",
                "short": "the exact scores" if name == TRUTH else "the full Hessian's scores",
                "kind": "curvature",
                "caption": f"Every query's influences on all {plan.num_examples:,} training "
                f"examples, compared with those of the {name} at the same damping; "
                "and the relative errors of the matrix (ΔH) and of the inverse-Hessian-vector "
                f"products (iHVP) behind them.{more}",
                "chance": unrelated | {"top_k": plan.top_k / plan.num_examples},
            }
        )
    for (name, sign), doing in zip(SIGNS.items(), ("doubling", "removing"), strict=True):
        if name not in there:
            continue
        references.append(
            {
                "name": name,
                "title": f"{doing} an example (ε = {'+' if sign > 0 else '−'}1/N)",
                "short": f"{doing} an example",
                "kind": "outcome",
                "caption": "The model responds: it moves to the minimiser of the proximal Bregman "
                "objective. For each query, predicted against measured changes of its measurement "
                f"over {plan.examples} training examples drawn at random. The error of the "
                "change is ‖predicted − measured‖ / ‖measured‖: predicting no change at "
                "all would give 1.",
                "chance": unrelated | {"top_k": plan.top_k / plan.examples},
            }
        )
    return references
