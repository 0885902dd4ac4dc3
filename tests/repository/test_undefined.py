"""Every name is defined. ruff's F821 would say so, but takes jaxtyping's shapes for names."""

import builtins
import dis
from collections.abc import Iterator
from types import CodeType

from repository.sources import PACKAGES, ROOT, place, python_files

# Those that Python gives to modules and classes.
GIVEN = {"__annotations__", "__file__", "__module__", "__name__", "__path__", "__qualname__"}


def codes(code: CodeType) -> Iterator[CodeType]:
    """A module's code and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def undefined(source: str) -> set[str]:
    """Global names that a file reads, and neither assigns nor finds among the builtins."""
    instructions = [
        instruction
        for code in codes(compile(source, "", "exec"))
        for instruction in dis.get_instructions(code)
    ]
    stored = {i.argval for i in instructions if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    read = {i.argval for i in instructions if i.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    return {name for name in read - stored - GIVEN if not hasattr(builtins, name)}


def test_every_name_is_defined():
    files = [*python_files(*PACKAGES, "tests"), *ROOT.glob("*.py")]
    names = {place(p): undefined(p.read_text(encoding="utf-8")) for p in files}
    assert {path: missing for path, missing in names.items() if missing} == {}


def test_a_name_that_is_not_is_seen():
    assert undefined("def f(x):\n    return [g(y) for y in x]\n\nclass A:\n    b = c") == {"g", "c"}
