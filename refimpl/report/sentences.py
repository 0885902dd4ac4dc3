"""What the numbers say, in sentences made from the numbers and from nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

from refimpl.report import text
from refimpl.report.lookup import Cell, cell, contrast, dampings
from refimpl.report.results import Results, TopExamples

__all__ = ["Finding", "findings"]


@dataclass(frozen=True)
class Finding:
    """A claim, and the figures that it rests on."""

    claim: str
    evidence: str


def findings(results: Results) -> list[Finding]:
    """Everything worth saying first, in the order of its weight.

    Args:
        results: The plain data.
    """
    makers: list[Callable[[Results], list[Finding]]] = [
        _outcome,
        _nearest,
        _costliest_step,
        _pairs,
        _damping,
        _alike,
        _notable,
        _convergence,
    ]
    return [finding for make in makers for finding in make(results)]


def _outcome(results: Results) -> list[Finding]:
    """How well the truth predicts each outcome."""
    truth, head = results.get("truth"), results.get("headline")
    outcomes = [r for r in results.get("references", []) if r["kind"] == "outcome"]
    if truth is None or head is None or not outcomes:
        return []
    at = {
        r["short"]: found
        for r in outcomes
        if (found := cell(results, r["name"], head["damping"], truth, head["statistic"]))
    }
    if not at:
        return []
    lowest, highest = min(c.value for c in at.values()), max(c.value for c in at.values())
    label = _label(results)
    if highest - lowest < 0.01:
        between = text.figure(lowest) if len(at) == 1 else _range(lowest, highest)
        claim = f"Influence by the {truth} foretells {text.joined(list(at))}: {label} {between}"
    else:
        best, worst = max(at, key=lambda t: at[t].value), min(at, key=lambda t: at[t].value)
        claim = (
            f"Influence by the {truth} foretells {best} ({label} {text.figure(highest)}) "
            f"better than {worst} ({text.figure(lowest)})"
        )
    evidence = "; ".join(f"{title}: {text.interval(c)}" for title, c in at.items())
    return [Finding(claim, f"At λ = {text.damping(head['damping'])}, {evidence}.")]


def _nearest(results: Results) -> list[Finding]:
    """Which approximation is nearest to the truth, and which farthest."""
    truth, head = results.get("truth"), results.get("headline")
    if truth is None or head is None:
        return []
    aside = {truth, *results.get("above", [])}
    names = [c["name"] for c in results["curvatures"] if c["name"] not in aside]
    best_at: dict[float, str] = {}
    worst_at: dict[float, str] = {}
    for damping in dampings(results):
        known = {n: c for n in names if (c := cell(results, truth, damping, n, head["statistic"]))}
        if len(known) > 1:
            best_at[damping] = max(known, key=lambda n: known[n].value)
            worst_at[damping] = min(known, key=lambda n: known[n].value)
    here = head["damping"]
    if here not in best_at:
        return []
    best, worst = best_at[here], worst_at[here]
    same = [d for d, n in best_at.items() if n == best]
    where = (
        "at every λ measured"
        if len(same) == len(best_at) > 1
        else f"at λ = {text.joined([text.damping(d) for d in same])}"
    )
    first = cell(results, truth, here, best, head["statistic"])
    last = cell(results, truth, here, worst, head["statistic"])
    assert first is not None
    assert last is not None
    return [
        Finding(
            f"Nearest to the {truth} is {best}, {where}",
            f"{_label(results)} at λ = {text.damping(here)}: {text.interval(first)}; "
            f"farthest is {worst} with {text.interval(last)}.",
        )
    ]


def _costliest_step(results: Results) -> list[Finding]:
    """Which step down the ladder of approximations loses most agreement with the truth."""
    truth, head, ladder = results.get("truth"), results.get("headline"), results.get("ladder", [])
    if truth is None or head is None or len(ladder) < 3:
        return []
    steps: dict[tuple[str, str], Cell] = {}
    for upper, lower in zip(ladder, ladder[1:], strict=False):
        if upper == truth:
            own = cell(results, truth, head["damping"], lower, head["statistic"])
            lost = own and Cell(own.value - 1, own.low - 1, own.high - 1)
        else:
            lost = contrast(results, truth, head["damping"], lower, upper, head["statistic"])
        if lost is not None:
            steps[upper, lower] = lost
    if len(steps) < 2:
        return []
    (upper, lower), worst = min(steps.items(), key=lambda item: item[1].value)
    if worst.high >= 0:
        return []
    rest = "; ".join(
        f"{a} → {b}: {text.signed(c)}" for (a, b), c in steps.items() if (a, b) != (upper, lower)
    )
    return [
        Finding(
            f"The costliest step is from {upper} to {lower}: "
            f"{_label(results)} {text.signed(worst)}",
            f"At λ = {text.damping(head['damping'])}, against the {truth}. The other steps: {rest}.",
        )
    ]


def _pairs(results: Results) -> list[Finding]:
    """Each paired comparison, off the ladder's own steps that `_costliest_step` already told."""
    truth, head = results.get("truth"), results.get("headline")
    if truth is None or head is None:
        return []
    pairs = list(dict.fromkeys((c["first"], c["second"]) for c in results.get("contrasts", [])))
    found: list[Finding] = []
    for first, second in pairs:
        at = {
            d: c
            for d in dampings(results)
            if (c := contrast(results, truth, d, first, second, head["statistic"]))
        }
        if not at:
            continue
        groups = {
            "above": [d for d, c in at.items() if c.low > 0],
            "below": [d for d, c in at.items() if c.high < 0],
            "not told apart from": [d for d, c in at.items() if c.low <= 0 <= c.high],
        }
        if len(present := [g for g in groups if groups[g]]) == 1:
            everywhere = " at any λ" if present[0].startswith("not") else " at every λ"
            claim = f"{first} is {present[0]} {second}" + (everywhere if len(at) > 1 else "")
        else:
            claim = f"{first} is " + text.joined(
                [
                    f"{g} {second if i == 0 else 'it'} at λ = "
                    + text.joined([text.damping(d) for d in groups[g]])
                    for i, g in enumerate(present)
                ]
            )
        evidence = "; ".join(f"λ = {text.damping(d)}: {text.signed(c)}" for d, c in at.items())
        found.append(
            Finding(claim, f"Paired difference in {_label(results)} with the {truth}: {evidence}.")
        )
    return found


def _damping(results: Results) -> list[Finding]:
    """How the headline curvature's agreement moves with the damping."""
    truth, head = results.get("truth"), results.get("headline")
    if truth is None or head is None or "curvature" not in head:
        return []
    name = head["curvature"]
    at = {
        d: c
        for d in dampings(results)
        if (c := cell(results, truth, d, name, head["statistic"])) is not None
    }
    if len(at) < 2:
        return []
    most, least = max(at), min(at)
    if at[most].overlaps(at[least]):
        claim = f"{name}'s agreement with the {truth} does not move with damping"
    else:
        verb = "falls" if at[least].value < at[most].value else "rises"
        claim = f"{name}'s agreement with the {truth} {verb} as damping falls"
    evidence = "; ".join(f"λ = {text.damping(d)}: {text.interval(c)}" for d, c in at.items())
    return [Finding(claim, f"{_label(results)} at {evidence}.")]


def _alike(results: Results) -> list[Finding]:
    """Labels and losses of the most influential examples."""
    groups: dict[str, list[TopExamples]] = {}
    for top in results.get("top_examples", []):
        if None not in (*top["same_label"], *top["loss_percentile"]):
            groups.setdefault(top["group"], []).append(top)
    found: list[Finding] = []
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
        found.append(
            Finding(
                f"The {group} examples are {hardness}, and {share} % share the query's label",
                "; ".join(_top(t) for t in seeds) + " (a percentile of 50 would be average).",
            )
        )
    return found


def _top(top: TopExamples) -> str:
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


def _notable(results: Results) -> list[Finding]:
    """How many queries nothing notably influences."""
    found: list[Finding] = []
    gallery, passages = results.get("gallery"), results.get("passages")
    for shown, moved in ((gallery, "example would move their loss"),
                         (passages, "sequence would move their log p")):  # fmt: skip
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
        found.append(Finding(claim, evidence))
    return found


def _convergence(results: Results) -> list[Finding]:
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
        f"{reference}{text.at_damping(damping)}: {sum(not ok for ok in found)} of {len(found)}"
        for (reference, damping), found in of_all_seeds.items()
        if not all(found)
    )
    evidence = f"Missed: {where}." if where else "Every answer on this page carries a certificate."
    return [Finding(text.sentence("; ".join(parts)), evidence)]


def _range(low: float, high: float) -> str:
    return f"{text.figure(low)} to {text.figure(high)}"


def _label(results: Results) -> str:
    """The headline statistic as a reader knows it."""
    head = results.get("headline")
    name = head["statistic"] if head else ""
    return next((s["label"] for s in results.get("statistics", []) if s["name"] == name), name)
