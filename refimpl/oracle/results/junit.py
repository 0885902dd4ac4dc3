"""A report as JUnit XML: fails are failures, errors and stales errors, what decides nothing skipped.

A stage that is not shown has a skipped test case "shown" besides.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import STATUS_MEANING, Report, Status

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
        "testsuites",
        {},
        name=f"refimpl check {report.subject}",
        **_counts(report.outcomes, len(report.not_shown)),
    )
    for stage in report.stages:
        outcomes, unshown = report.of(stage), int(stage in report.not_shown)
        suite = ET.SubElement(root, "testsuite", {}, name=stage, **_counts(outcomes, unshown))
        for outcome in outcomes:
            _testcase(suite, report, outcome)
        if unshown:
            item = ET.SubElement(suite, "testcase", classname=stage, name="shown", time="0.000")
            message = f"{Status.UNSHOWN}: {STATUS_MEANING[Status.UNSHOWN]}"
            ET.SubElement(item, "skipped", message=message)
    ET.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _counts(outcomes: tuple[Outcome, ...], unshown: int) -> dict[str, str]:
    tags = [_TAGS.get(o.verdict) for o in outcomes]
    return {
        "tests": str(len(outcomes) + unshown),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped") + unshown),
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
