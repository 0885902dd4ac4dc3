"""A finding: a claim and the figures that it rests on."""

from dataclasses import dataclass

from refimpl.report.results import Results

__all__ = ["Finding", "statistic_label"]


@dataclass(frozen=True)
class Finding:
    """A claim, and the figures that it rests on."""

    claim: str
    evidence: str


def statistic_label(results: Results) -> str:
    """The headline statistic as a reader knows it."""
    head = results.get("headline")
    name = head["statistic"] if head else ""
    return next((s["label"] for s in results.get("statistics", []) if s["name"] == name), name)
