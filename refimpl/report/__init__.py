"""Tables, plots and pages drawn from results that are plain data (extra `report`)."""

from refimpl.report.finding import Finding as Finding
from refimpl.report.pages import (
    page as page,
    read as read,
    summary as summary,
    write as write,
    write_index as write_index,
)
from refimpl.report.results import Results as Results
from refimpl.report.sentences import findings as findings
