"""Sentences on the results, written from their numbers alone."""

from refimpl.report import agreement_findings, example_findings
from refimpl.report.finding import Finding
from refimpl.report.results import Results

__all__ = ["findings"]

# In the order of their weight.
SUBJECTS = (
    agreement_findings.outcomes,
    agreement_findings.nearest,
    agreement_findings.costliest_step,
    agreement_findings.paired_differences,
    agreement_findings.damping_trend,
    example_findings.influential_examples,
    example_findings.queries_without_influence,
    example_findings.convergence,
)


def findings(results: Results) -> list[Finding]:
    """Everything worth saying first, in the order of its weight.

    Args:
        results: The plain data.
    """
    return [finding for subject in SUBJECTS for finding in subject(results)]
