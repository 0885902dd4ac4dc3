"""Progress: a bar on a terminal, plain lines elsewhere, silence on request."""

import io

from rich.console import Console

from validation.parts.progress import Progress


def told(terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    progress = Progress(console)
    with progress.study("toy", total=4, reused=1):
        progress.started((0, "draw"))
        progress.finished((0, "draw"), 1.25)
        progress.started((0, "[scale]"))
        progress.failed((0, "[scale]"), ValueError("no [luck]"))
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert told(terminal=False).splitlines() == [
        "toy: 1 of 4 parts found saved",
        "toy: draw (seed 0): 1.2 s (2 of 4)",
        "toy: [scale] (seed 0): FAILED: ValueError: no [luck]",
    ]


def test_a_bar_on_a_terminal() -> None:
    text = told(terminal=True)
    assert "━" in text
    assert "2/4" in text
    assert "FAILED: ValueError: no [luck]" in text


def test_silence() -> None:
    progress = Progress(None)
    with progress.study("toy", 1, 0):
        progress.started((0, "a"))
        progress.finished((0, "a"), 0.0)
        progress.failed((0, "a"), ValueError())
