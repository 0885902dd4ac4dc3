"""What the literature claims of these approximations, beside what the studies measured: one page."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import refimpl
from refimpl import report as pages
from refimpl.report import text
from refimpl.report.lookup import Cell, contrast, dampings, find
from refimpl.report.results import FORMAT
from refimpl.rungs.curvatures import HEADLINE, LADDER, TRUTH
from validation.literature.claims import GROSSE, claim
from validation.literature.references import HALVES, PBRF, SCRATCH

__all__ = ["NAME", "claims_page", "write"]

NAME = "literature"
BAE, GEORGE = "Bae et al. 2022", "George et al. 2018"
HONG = "Hong et al. 2025 (arXiv 2509.23437)"
RETRAINED = "PBRF +1/N"
LIKE = 0.1  # how far apart two correlations are that are still called alike
Results = Mapping[str, Any]


def write(folder: Path) -> Path | None:
    """The page over every study's results one level below a folder; None where there are none.

    Args:
        folder: The folder of the reports; the page goes to its folder "literature".
    """
    studies: dict[str, Results] = {}
    for path in sorted(folder.glob("*/results.json")):
        if path.parent.name == NAME:
            continue
        try:
            results = pages.read(path.parent)
        except ValueError:
            continue  # of another version: the index says so
        if results["agreement"] and "headline" in results:
            studies[results["name"]] = results
    if not studies:
        return None
    return pages.write(claims_page(studies), folder / NAME)  # type: ignore[arg-type]


def claims_page(studies: Mapping[str, Results]) -> dict[str, Any]:
    """The plain data of the page.

    Args:
        studies: Results by name of the study.
    """
    claims = [
        {**row, "detail": f"{name}: {row['detail']}"}
        for rows in (
            _like_lissa,
            _above_dot_product,
            _pbrf_not_loo,
            _frobenius,
            _better,
            _eigenvalues,
        )
        for name, results in studies.items()
        for row in rows(results)
    ]
    return {
        "format": FORMAT,
        "name": NAME,
        "title": "What the literature claims, and what these studies measured",
        "setting": (
            "Claim by claim, a row for every study that has the figures: "
            f"{', '.join(studies)}. A figure over several seeds is their mean, its interval the hull of "
            "theirs. These are small models: what is not confirmed here may hold elsewhere."
        ),
        "curvatures": [],
        "agreement": [],
        "claims": claims,
        "provenance": {
            "drawn": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "refimpl": refimpl.__version__,
            "from": ", ".join(f"{name}/results.json" for name in studies),
        },
    }


def _row(
    what: str, source: str, figure: Cell, unit: str, detail: str, **side: Any
) -> dict[str, Any]:
    return claim(what, source, [figure.value, figure.low, figure.high], unit, detail, **side)


def _at(results: Results) -> str:
    return f"λ = {text.damping(results['headline']['damping'])}"


def _paired(results: Results, reference: str, first: str, second: str) -> Cell | None:
    return contrast(results, reference, results["headline"]["damping"], first, second, "pearson")  # type: ignore[arg-type]


def _like_lissa(results: Results) -> Iterator[dict[str, Any]]:
    difference = _paired(results, RETRAINED, HEADLINE, "LiSSA")
    if difference is None:
        return
    row = _row(
        "EK-FAC agrees with the PBRF about as well as LiSSA",
        f"{GROSSE}, section 5.1",
        difference,
        "difference in Pearson r with the PBRF, EK-FAC less LiSSA",
        f"{_at(results)}; alike within ±{LIKE:g}",
        above=0.0,
    )
    inside = difference.low >= -LIKE and difference.high <= LIKE
    outside = difference.high < -LIKE or difference.low > LIKE
    verdict = "confirmed" if inside else "not confirmed" if outside else "undecided"
    yield row | {"verdict": verdict}


def _above_dot_product(results: Results) -> Iterator[dict[str, Any]]:
    difference = _paired(results, RETRAINED, HEADLINE, "identity")
    if difference is not None:
        yield _row(
            "EK-FAC agrees with the PBRF better than the dot product of gradients",
            f"{GROSSE}, section 5.1",
            difference,
            "difference in Pearson r with the PBRF",
            _at(results),
            above=0.0,
        )


def _pbrf_not_loo(results: Results) -> Iterator[dict[str, Any]]:
    difference = _paired(results, f"{TRUTH} against outcomes", PBRF, SCRATCH)
    if difference is not None:
        yield _row(
            "Influence functions match the PBRF much better than leave-one-out retraining",
            BAE,
            difference,
            f"difference in Pearson r of the {TRUTH}'s influences: with the PBRF, less with retraining "
            "from scratch",
            f"{_at(results)}, the same examples",
            above=0.0,
        )


def _frobenius(results: Results) -> Iterator[dict[str, Any]]:
    """At every seed, whether EK-FAC is nearer; both are damped by lambda I, which drops out."""
    errors = find(
        results["agreement"],
        reference=TRUTH,
        statistic="operator_frobenius",
        damping=results["headline"]["damping"],
    )
    by_seed = {
        name: {r["seed"]: r["value"] for r in find(errors, curvature=name)}
        for name in (HEADLINE, "K-FAC")
    }
    ekfac, kfac = by_seed[HEADLINE], by_seed["K-FAC"]
    both = [(ekfac[seed], kfac[seed]) for seed in ekfac if seed in kfac]
    if not both:
        return
    nearer = sum(e < k for e, k in both)
    ratios = [e / k for e, k in both]
    ratio = Cell(float(np.mean(ratios)), min(ratios), max(ratios))
    yield _row(
        "EK-FAC is nearer to the curvature than K-FAC in the Frobenius norm, always",
        f"{GEORGE}, proposition 1",
        ratio,
        f"nearer at {nearer} of {len(both)} seeds; ‖EK-FAC − G‖ / ‖K-FAC − G‖",
        "the interval is the range over seeds",
        below=1.0,
    )


def _better(results: Results) -> Iterator[dict[str, Any]]:
    """Rank correlation over rungs between the error of the products and the score on halves."""
    correlations: list[float] = []
    for seed in sorted({f["seed"] for f in results["agreement"]}):
        for damping in dampings(results):  # type: ignore[arg-type]
            here = find(results["agreement"], seed=seed, damping=damping)
            errors = find(here, reference=TRUTH, statistic="ihvp_error")
            scores = {
                r["curvature"]: r["value"]
                for r in find(here, reference=HALVES, statistic="spearman")
            }
            pairs = [
                (r["value"], scores[r["curvature"]])
                for r in errors
                if r["value"] is not None and scores.get(r["curvature"]) is not None
            ]
            if len(pairs) > 4:
                correlations.append(
                    -float(np.asarray(scipy.stats.spearmanr(*zip(*pairs, strict=True)))[0])
                )
    if correlations:
        yield _row(
            "Better approximations of the Hessian give better attributions",
            HONG,
            Cell(float(np.mean(correlations)), min(correlations), max(correlations)),
            "rank correlation over curvatures of a small error of the inverse-vector products with "
            "the linear datamodelling score",
            "every seed and λ; the interval is the range",
            above=0.0,
        )


def _eigenvalues(results: Results) -> Iterator[dict[str, Any]]:
    """Which of the two steps from the blocks to K-FAC costs more of the agreement with the truth."""
    _, blocks, ekfac, kfac, _ = LADDER
    basis = _paired(results, TRUTH, ekfac, blocks)
    values = _paired(results, TRUTH, kfac, ekfac)
    if basis is None or values is None:
        return
    lost = Cell(
        basis.value - values.value, basis.low - values.high, basis.high - values.low, basis.seeds
    )
    yield _row(
        "Of K-FAC's approximations its eigenvalues lose most, more than its eigenvectors",
        HONG,
        lost,
        "loss of Pearson r with the exact GNH by K-FAC's eigenvalues, less that by its eigenvectors",
        f"{_at(results)}; eigenvectors: {blocks} → {ekfac} {text.signed(basis)}; eigenvalues: "
        f"{ekfac} → {kfac} {text.signed(values)}",
        above=0.0,
    )
