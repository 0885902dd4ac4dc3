"""What the post and the papers say of these experiments, each beside our own number."""

from typing import Any

import scipy

from refimpl.report import text
from refimpl.rungs.curvatures import APART, HEADLINE, TRUTH
from validation.parts.study import Config, Earlier

__all__ = ["image_claims", "sequence_claims"]

POST = "the walk-through"
GROSSE = "Grosse et al. 2023"


def image_claims(config: Config, earlier: Earlier) -> Any:
    """The walk-through's observations on MNIST."""
    del config
    pictured = earlier["pictures"].values
    gallery = pictured["gallery"]
    tops = {top["group"]: top for top in pictured["top_examples"]}
    claims = [_almost_no_influence(gallery)]
    if tops:
        helpful = tops["most helpful"]
        claims = [
            claim(
                "Influential training digits are sloppier and less clear than the average one",
                POST,
                helpful["loss_percentile"],
                "percentile of their own loss",
                "50 would be average; the ten most helpful of each notable query, by "
                f"{gallery['curvature']}",
                above=50.0,
                digits=2,
            ),
            claim(
                "Not all of the most influential images share the query's label",
                POST,
                helpful["same_label"],
                "share with the query's label",
                f"chance would give {text.figure(helpful['chance_label'], 2)}",
                below=1.0,
            ),
            *claims,
        ]
    return {"claims": claims}


def sequence_claims(config: Config, earlier: Earlier) -> Any:
    """That correlations between tokens matter, and that some queries have almost no influence."""
    contrasts = [
        c
        for c in earlier[f"influences/{config['headline']:g}"].values["contrasts"]
        if (c["reference"], c["first"], c["second"]) == (TRUTH, APART, HEADLINE)
    ]
    claims = []
    for contrast in contrasts:
        triple = [-contrast["value"], -contrast["high"], -contrast["low"]]
        claims.append(
            claim(
                "Correlations between tokens matter: eigenvalues are fitted to gradients summed over "
                "tokens, not to each token's own",
                f"{GROSSE}, section 2.2; {POST}",
                triple,
                "gain in Pearson r with the exact GNH by summing before squaring",
                f"paired difference of {HEADLINE} and the same with tokens squared apart, "
                f"λ = {text.damping(config['headline'])}",
                above=0.0,
            )
        )
    if "passages" in earlier:
        claims.append(_almost_no_influence(earlier["passages"].values["passages"]))
    return {"claims": claims}


def _almost_no_influence(shown: Any) -> dict[str, Any]:
    """Queries that no training example moves notably, with Wilson's interval for their share."""
    total, without = shown["queries_total"], shown["queries_total"] - shown["notable"]
    share = scipy.stats.binomtest(without, total).proportion_ci(method="wilson")
    return claim(
        "Some queries have almost no influence from any training example",
        POST,
        [without / total, float(share.low), float(share.high)],
        f"{without} of {total} queries; share",
        f"no training example moves the measurement by {shown['threshold']:g} when its weight grows "
        f"by 1/N, by {TRUTH}; Wilson's interval",
        above=0.0,
        enough=without > 0,
    )


def claim(
    what: str,
    source: str,
    triple: list[float],
    unit: str,
    detail: str,
    *,
    above: float | None = None,
    below: float | None = None,
    enough: bool | None = None,
    digits: int = 3,
) -> dict[str, Any]:
    """A claim beside what was measured, confirmed where the whole interval lies on its side.

    Args:
        what: The claim.
        source: Who makes it.
        triple: Our figure, and the ends of its interval.
        unit: What the figure is.
        detail: How it was measured.
        above: The claim is that the figure lies above this.
        below: Or below this.
        enough: Decides instead of the interval: a count that only has to differ from none.
        digits: Figures shown.
    """
    value, low, high = triple
    if enough is not None:
        verdict = "confirmed" if enough else "not confirmed"
    elif above is not None:
        verdict = _verdict(low > above, high <= above)
    elif below is not None:
        verdict = _verdict(high < below, low >= below)
    else:
        raise ValueError("a claim is about a side: give `above` or `below`")
    shown = " … ".join(text.figure(v, digits) for v in (low, high))
    return {
        "claim": what,
        "source": source,
        "measured": f"{unit}: {text.figure(value, digits)} [{shown}]",
        "value": value,
        "low": low,
        "high": high,
        "verdict": verdict,
        "detail": detail,
    }


def _verdict(holds: bool, fails: bool) -> str:
    return "confirmed" if holds else "not confirmed" if fails else "undecided"
