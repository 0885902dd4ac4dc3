"""A report as JUnit XML: fails are failures, errors and stales errors, what decides nothing skipped."""

from pathlib import Path
from xml.etree import ElementTree as ET

from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import Report

__all__ = ["write_junit"]

_TAGS = {
    Verdict.FAIL: "failure",
    Verdict.ERROR: "error",
    Verdict.STALE: "error",
    Verdict.DEVIATES: "skipped",
    Verdict.UNSUPPORTED: "skipped",
    Verdict.INDETERMINATE: "skipped",
}


def write_junit(report: Report, path: Path) -> None:
    """Write a test suite for each stage."""
    root = ET.Element(
        "testsuites", {}, name=f"refimpl check {report.subject}", **_counts(report.outcomes)
    )
    for stage in report.stages:
        outcomes = report.of(stage)
        suite = ET.SubElement(root, "testsuite", {}, name=stage, **_counts(outcomes))
        for outcome in outcomes:
            _testcase(suite, report, outcome)
    ET.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _counts(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    tags = [_TAGS.get(o.verdict) for o in outcomes]
    return {
        "tests": str(len(outcomes)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
        "time": f"{sum(o.seconds for o in outcomes):.3f}",
    }


def _testcase(suite: ET.Element, report: Report, outcome: Outcome) -> None:
    item = ET.SubElement(
        suite,
        "testcase",
        classname=f"{outcome.case}::{outcome.stage}",
        name=f"{outcome.check}::{outcome.mode}",
        time=f"{outcome.seconds:.3f}",
    )
    properties = ET.SubElement(item, "properties")
    for name, value in (("verdict", outcome.verdict), ("ratio", outcome.ratio)):
        if value is not None:
            ET.SubElement(properties, "property", name=name, value=str(value))
    tag = _TAGS.get(outcome.verdict)
    if tag is None:
        return
    element = ET.SubElement(item, tag, message=f"{outcome.verdict}: {outcome.detail}")
    if tag != "skipped":
        element.set("type", str(outcome.verdict))
        element.text = "\n".join([outcome.detail, *outcome.diagnosis, report.reproduction(outcome)])
