"""A report as one static page: what is wrong first, then stages by families; nothing is fetched."""

from importlib import resources
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from refimpl.oracle.results.outcome import MEANING, Verdict
from refimpl.oracle.results.report import STATUS_MEANING, Report, Status
from refimpl.oracle.results.terminal import cell, figure, grouped
from refimpl.oracle.stages import STAGES

__all__ = ["page", "write_html"]

# Told without colour as well.
MARKS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
    Verdict.UNSUPPORTED: "–",
    Verdict.DEVIATES: "≠",
    Verdict.STALE: "⚠",
    Verdict.INDETERMINATE: "?",
}
STATUS_MARKS = {
    Status.CONFORMS: "✓",
    Status.PASSES: "✓",
    Status.FAILS: "✗",
    Status.UNSHOWN: "○",
    Status.UNDECIDED: "?",
    Status.UNASKED: "–",
    Status.ABSENT: "–",
}


def page(report: Report) -> str:
    """Render the page."""
    here = resources.files("refimpl")
    environment = Environment(
        # The style is that of refimpl's other pages.
        loader=FileSystemLoader(
            [str(here / "oracle/results/templates"), str(here / "report/templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    families = list(dict.fromkeys(o.family for o in report.outcomes))
    rows = [
        (
            stage,
            report.status(stage),
            [cell([o for o in report.of(stage) if o.family == f]) for f in families],
        )
        for stage in STAGES
    ]
    cases = list(dict.fromkeys(o.case for o in report.outcomes))
    return environment.get_template("check.html").render(
        report=report,
        footer=report.footer,
        families=families,
        rows=rows,
        cases=[
            (c, [cell([o for o in report.of(s) if o.case == c]) for s in report.stages])
            for c in cases
        ],
        wrong=grouped(report.bad),
        deviating=grouped([o for o in report.outcomes if o.verdict is Verdict.DEVIATES]),
        undecided=grouped(
            [
                o
                for o in report.outcomes
                if o.verdict in (Verdict.INDETERMINATE, Verdict.UNSUPPORTED)
            ]
        ),
        figure=figure,
        marks=MARKS,
        status_marks=STATUS_MARKS,
        meaning=MEANING,
        status_meaning=STATUS_MEANING,
    )


def write_html(report: Report, path: Path) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(report), encoding="utf-8")
