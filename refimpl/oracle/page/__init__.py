"""A report as files: JSON lines with a schema, one static HTML page, JUnit, and a badge."""

from refimpl.oracle.page.badge import write_badge as write_badge
from refimpl.oracle.page.html import write_html as write_html
from refimpl.oracle.page.junit import write_junit as write_junit
from refimpl.oracle.page.lines import (
    InvalidReport as InvalidReport,
    read as read,
    write_lines as write_lines,
)
