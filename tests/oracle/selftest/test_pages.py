"""What is written into docs/ is current."""

from pathlib import Path

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.selftest.measured import measured_margins
from refimpl.oracle.selftest.pages import checks_page, conventions_page

DOCS = Path(__file__).parents[3] / "docs"
HOW = "run: python -m refimpl.oracle.selftest.pages"


def test_the_page_of_checks_is_current():
    assert (DOCS / "checks.md").read_text("utf-8") == checks_page(measured_margins()), HOW


def test_the_table_of_conventions_is_current():
    page = (DOCS / "conventions.md").read_text("utf-8")
    assert "| `fisher` |" in page
    assert page == conventions_page(page), HOW


def test_every_check_says_everything_about_itself():
    assert len({c.slug for c in CHECKS}) == len(CHECKS) >= 40
    for check in CHECKS:
        said = (check.statement, check.equation, check.source, check.scale)
        assert all(said), check.slug
        assert check.statement.endswith("."), check.slug
