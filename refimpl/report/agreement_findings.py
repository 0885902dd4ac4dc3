"""Findings on agreement: which approximation is nearest, what a step costs, what damping does."""

from refimpl.report import text
from refimpl.report.finding import Finding, statistic_label
from refimpl.report.lookup import Cell, cell, contrast, dampings
from refimpl.report.results import Results

__all__ = ["costliest_step", "damping_trend", "nearest", "outcomes", "paired_differences"]


def outcomes(results: Results) -> list[Finding]:
    """How well the truth predicts each outcome."""
    truth, head = results.get("truth"), results.get("headline")
    measured = [r for r in results.get("references", []) if r["kind"] == "outcome"]
    if truth is None or head is None or not measured:
        return []
    at = {
        r["short"]: agreement
        for r in measured
        if (agreement := cell(results, r["name"], head["damping"], truth, head["statistic"]))
    }
    if not at:
        return []
    lowest, highest = min(c.value for c in at.values()), max(c.value for c in at.values())
    label = statistic_label(results)
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


def _range(low: float, high: float) -> str:
    return f"{text.figure(low)} to {text.figure(high)}"


def nearest(results: Results) -> list[Finding]:
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
            f"{statistic_label(results)} at λ = {text.damping(here)}: {text.interval(first)}; "
            f"farthest is {worst} with {text.interval(last)}.",
        )
    ]


def costliest_step(results: Results) -> list[Finding]:
    """Which step down the ladder of approximations loses most agreement with the truth."""
    truth, head, ladder = results.get("truth"), results.get("headline"), results.get("ladder", [])
    if truth is None or head is None or len(ladder) < 3:
        return []
    steps: dict[tuple[str, str], Cell] = {}
    for upper, lower in zip(ladder, ladder[1:], strict=False):
        if upper == truth:
            first = cell(results, truth, head["damping"], lower, head["statistic"])
            lost = first and Cell(first.value - 1, first.low - 1, first.high - 1)
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
            f"{statistic_label(results)} {text.signed(worst)}",
            f"At λ = {text.damping(head['damping'])}, against the {truth}. The other steps: {rest}.",
        )
    ]


def paired_differences(results: Results) -> list[Finding]:
    """Each paired comparison of two curvatures in their agreement with the truth."""
    truth, head = results.get("truth"), results.get("headline")
    if truth is None or head is None:
        return []
    pairs = list(dict.fromkeys((c["first"], c["second"]) for c in results.get("contrasts", [])))
    sentences: list[Finding] = []
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
        sentences.append(
            Finding(
                claim,
                f"Paired difference in {statistic_label(results)} with the {truth}: {evidence}.",
            )
        )
    return sentences


def damping_trend(results: Results) -> list[Finding]:
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
    return [Finding(claim, f"{statistic_label(results)} at {evidence}.")]
