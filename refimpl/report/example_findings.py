"""Findings on single examples and on certificates."""

from refimpl.report import text
from refimpl.report.examples import TopExamples
from refimpl.report.finding import Finding
from refimpl.report.results import Results

__all__ = ["convergence", "influential_examples", "queries_without_influence"]


def influential_examples(results: Results) -> list[Finding]:
    """Labels and losses of the most influential examples."""
    groups: dict[str, list[TopExamples]] = {}
    for top in results.get("top_examples", []):
        if None not in (*top["same_label"], *top["loss_percentile"]):
            groups.setdefault(top["group"], []).append(top)
    sentences: list[Finding] = []
    for group, seeds in groups.items():
        least, most = ([t["loss_percentile"][end] or 0.0 for t in seeds] for end in (1, 2))
        harder, easier = sum(end > 50 for end in least), sum(end < 50 for end in most)
        if len(seeds) in (harder, easier):
            hardness = "harder than average" if harder else "easier than average"
        elif not harder and not easier:
            hardness = "about as hard as average"
        else:
            hardness = (
                f"harder than average at {harder} of {len(seeds)} seeds and easier at {easier}"
            )
        shares = sorted({f"{100 * (t['same_label'][0] or 0.0):.0f}" for t in seeds}, key=int)
        share = " to ".join(dict.fromkeys((shares[0], shares[-1])))
        sentences.append(
            Finding(
                f"The {group} examples are {hardness}, and {share} % share the query's label",
                "; ".join(_about(t) for t in seeds) + " (a percentile of 50 would be average).",
            )
        )
    return sentences


def _about(top: TopExamples) -> str:
    """What the most influential examples of one seed are like."""
    value, low, high = (100 * (v or 0.0) for v in top["same_label"])
    percentile, least, most = (v or 0.0 for v in top["loss_percentile"])
    seed = f", seed {top['seed']}" if "seed" in top else ""
    return (
        f"Top {top['count']} of {top['queries']} {top['scope']} by {top['curvature']}, "
        f"λ = {text.damping(top['damping'])}{seed}: own loss at percentile {percentile:.0f} "
        f"[{least:.0f}, {most:.0f}] of all training losses, same label {value:.0f} % "
        f"[{low:.0f}, {high:.0f}], by chance {100 * top['chance_label']:.0f} %"
    )


def queries_without_influence(results: Results) -> list[Finding]:
    """How many queries nothing notably influences."""
    sentences: list[Finding] = []
    gallery, passages = results.get("gallery"), results.get("passages")
    kinds = (
        (gallery, "example would move their loss"),
        (passages, "sequence would move their log p"),
    )
    for shown, moved in kinds:
        if shown is None:
            continue
        silent, total = shown["queries_total"] - shown["notable"], shown["queries_total"]
        by = f"by {shown['curvature']} at λ = {text.damping(shown['damping'])}."
        if silent:
            claim = f"{silent} of {total} queries have no notable influence"
            evidence = f"No single training {moved} by {shown['threshold']:g} or more, {by}"
        else:
            claim = f"All {total} queries have a notable influence"
            evidence = f"Some single training {moved} by {shown['threshold']:g} or more, {by}"
        sentences.append(Finding(claim, evidence))
    return sentences


def convergence(results: Results) -> list[Finding]:
    """What did not converge."""
    responses, solves = results.get("responses", []), results.get("solves", [])
    total = sum(len(r["converged"]) for r in responses)
    missed = sum(not ok for r in responses for ok in r["converged"])
    bad_solves, all_solves = sum(s["missed"] for s in solves), sum(s["solves"] for s in solves)
    if not total and not all_solves:
        return []
    parts: list[str] = []
    if total and not missed:
        tolerances = {r["tolerance"] for r in responses}
        parts.append(
            f"all {total:,} retrainings "
            + (
                f"reached a relative gradient norm of {text.power(min(tolerances))}"
                if len(tolerances) == 1
                else "met their tolerances"
            )
        )
    elif total:
        parts.append(f"{missed} of {total:,} retrainings missed their tolerance and are left out")
    if all_solves:
        whose = "theirs" if total else "their tolerance"
        parts.append(
            f"all {all_solves:,} linear solves met {whose}"
            if not bad_solves
            else f"{bad_solves} of {all_solves:,} linear solves missed {whose}"
        )
    of_all_seeds: dict[tuple[str, float | None], list[bool]] = {}
    for r in responses:
        of_all_seeds.setdefault((r["reference"], r["damping"]), []).extend(r["converged"])
    where = "; ".join(
        f"{reference}{text.at_damping(damping)}: {sum(not ok for ok in converged)} of {len(converged)}"
        for (reference, damping), converged in of_all_seeds.items()
        if not all(converged)
    )
    evidence = f"Missed: {where}." if where else "Every answer on this page carries a certificate."
    return [Finding(text.sentence("; ".join(parts)), evidence)]
