"""Files stay small, and the formatter is overruled no oftener than it was."""

from repository.sources import PACKAGES, ROOT, place, python_files

MOST_LINES = 350
SKIPPED = 3  # lines where the formatter is overruled, in the whole repository; only fewer


def test_no_file_is_long():
    lines = {place(p): len(p.read_text("utf-8").splitlines()) for p in python_files(*PACKAGES)}
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}


def test_the_formatter_is_overruled_no_oftener():
    mark = "fmt: " + "skip"
    files = [*python_files(*PACKAGES, "tests"), *ROOT.glob("*.py")]
    skips = {place(p): n for p in files if (n := p.read_text("utf-8").count(f"# {mark}"))}
    assert sum(skips.values()) <= SKIPPED, skips
