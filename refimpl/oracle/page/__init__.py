"""A report as files: JSON lines with a schema, one static HTML page, JUnit, and a badge."""

from refimpl.oracle.page.badge import badge as badge, write as write_badge
from refimpl.oracle.page.html import page as page, write as write_html
from refimpl.oracle.page.junit import write as write_junit
from refimpl.oracle.page.lines import InvalidReport as InvalidReport, read as read, write as write
