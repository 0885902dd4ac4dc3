"""Findings: what is known to deviate, by which reproduction, and which outcomes it explains."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = ["Finding", "read", "verdicts"]

FINDINGS = Path(__file__).with_name("findings.toml")
STAGE_VERDICTS = {
    "conforms": "checks passed on every case that it claims, and none failed",
    "deviates": "some failed, and a reproduction without refimpl shows why",
    "unexplained": "some failed, and no reproduction shows why: of this nothing is claimed",
    "undecided": "no check judged it",
    "not claimed": "it says that it does not handle any of the cases",
}


@dataclass(frozen=True)
class Finding:
    """One entry of findings.toml.

    Args:
        library: Whose.
        slug: Of the reproduction.
        title: What is wrong, in a sentence.
        outcomes: Globs over "adapter::case::stage".
        note: What else is to be known.
    """

    library: str
    slug: str
    title: str
    outcomes: tuple[str, ...]
    note: str

    def covers(self, adapter: str, case: str, stage: str) -> bool:
        """Whether it explains what happened there.

        Args:
            adapter: Name that the adapter declares.
            case: Id of the case.
            stage: The stage.
        """
        return any(fnmatchcase(f"{adapter}::{case}::{stage}", glob) for glob in self.outcomes)


def read(path: Path = FINDINGS) -> tuple[Finding, ...]:
    """The entries of the file.

    Args:
        path: The file.
    """
    plain = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Finding(library, slug, entry["title"], tuple(entry["outcomes"]), entry["note"])
        for library, entries in plain.items()
        for slug, entry in entries.items()
    )


def verdicts(adapter: Mapping[str, Any], shown: Sequence[Finding]) -> dict[str, dict[str, Any]]:
    """What is said of each of an adapter's stages.

    Args:
        adapter: As `session.judged` has it.
        shown: The library's findings whose reproductions show a deviation.

    Returns:
        By stage: verdict, counts of outcomes, slugs of findings, what is unexplained, and the
        largest relative error where it is right and where it is not.
    """
    return {stage: _stage(adapter, stage, shown) for stage in adapter["stages"]}


def _stage(adapter: Mapping[str, Any], stage: str, shown: Sequence[Finding]) -> dict[str, Any]:
    outcomes = [o for o in adapter["outcomes"] if o["stage"] == stage]
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome["verdict"]] = counts.get(outcome["verdict"], 0) + 1
    bad = [o for o in outcomes if o["verdict"] in ("fail", "error")]
    causes = {
        o["case"]: [f.slug for f in shown if f.covers(adapter["name"], o["case"], stage)]
        for o in bad
    }
    unexplained = [o for o in bad if not causes[o["case"]]]
    if unexplained:
        verdict = "unexplained"
    elif bad:
        verdict = "deviates"
    elif counts.get("pass"):
        verdict = "conforms"
    else:
        verdict = "not claimed" if counts.get("unsupported") else "undecided"
    numbers = {
        case: own_distances[stage]
        for case, own_distances in adapter["distances"].items()
        if isinstance(own_distances.get(stage), float)
    }
    return {
        "verdict": verdict,
        "counts": counts,
        "findings": sorted({slug for slugs in causes.values() for slug in slugs}),
        "unexplained": [
            f"{o['case']}::{o['check']}::{o['mode']}: {o['detail']}" for o in unexplained
        ],
        "right": _worst({c: v for c, v in numbers.items() if c not in causes}),
        "wrong": _worst({c: v for c, v in numbers.items() if c in causes}),
    }


def _worst(numbers: Mapping[str, float]) -> dict[str, Any] | None:
    if not numbers:
        return None
    case = max(numbers, key=lambda c: numbers[c])
    return {"case": case, "error": numbers[case], "cases": len(numbers)}
