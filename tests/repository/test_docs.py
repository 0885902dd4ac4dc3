"""The documents are true: what they name exists, and every word stands in the glossary once."""

import re
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest
from repository.sources import MODULES, ROOT

from refimpl.oracle import Verdict
from refimpl.oracle.question.conventions import records
from refimpl.oracle.stages import STAGES

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "reports" / "README.md"]
PATH = re.compile(r"`((?:refimpl|validation|tests|docs|reports/baseline|\.github)/[\w./-]*)[^`]*`")
DOTTED = re.compile(r"`((?:refimpl|validation)(?:\.\w+)+)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def exists(dotted: str) -> bool:
    """Whether a dotted path leads from a package to a module, a class, a function or a method."""
    modules = {module.__name__: module for module in MODULES}
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        name = ".".join(parts[:cut])
        if name in modules or name in ("refimpl", "validation"):
            if cut == len(parts):
                return True
            try:
                attrgetter(".".join(parts[cut:]))(modules[name])
            except (AttributeError, KeyError):
                return False
            return True
    return False


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_exists(path: Path):
    text = path.read_text(encoding="utf-8")
    if path.name != "CHANGELOG.md":  # it tells of names as they were
        missing = {name for name in PATH.findall(text) if not (ROOT / name).exists()}
        missing |= {name for name in DOTTED.findall(text) if not exists(name)}
        missing |= {
            f"{file}::{test}"
            for file, test in TEST.findall(text)
            if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")
        }
        assert missing == set()
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


def test_the_paths_of_mutation_testing_exist():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "mutmut"
    ]
    mutated, tests = settings["only_mutate"], settings["pytest_add_cli_args_test_selection"]
    assert [path for path in mutated + tests if not list(ROOT.glob(path))] == []


def test_the_glossary_has_every_word_once_in_order():
    terms = re.findall(r"^- \*\*(.+?)\*\* — ", page("glossary.md"), re.MULTILINE)
    assert len(terms) == page("glossary.md").count("\n- ")
    assert terms == sorted(set(terms), key=str.casefold)


def test_the_glossary_says_where_each_word_lives():
    entries = page("glossary.md").split("\n- ")[1:]
    assert [entry for entry in entries if not PATH.search(entry)] == []


def test_the_glossary_has_the_verdicts_the_stages_and_the_conventions():
    text = page("glossary.md")
    terms = re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)
    assert {str(verdict) for verdict in Verdict} <= set(terms)
    named = set(re.findall(r"`(\w+)`", text))
    assert {*STAGES, *records()} <= named
