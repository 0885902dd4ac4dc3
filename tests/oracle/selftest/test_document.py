from pathlib import Path

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.selftest.document import document, measured


def test_the_page_of_checks_is_current():
    page = Path(__file__).parents[3] / "docs" / "checks.md"
    message = "run: python -m refimpl.oracle.selftest.document > docs/checks.md"
    assert page.read_text("utf-8") == document(measured()), message


def test_every_check_says_everything_about_itself():
    assert len({c.slug for c in CHECKS}) == len(CHECKS) >= 40
    for check in CHECKS:
        said = (check.statement, check.equation, check.source, check.tolerance)
        assert all(said), check.slug
        assert check.statement.endswith("."), check.slug
