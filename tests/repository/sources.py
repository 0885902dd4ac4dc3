"""The repository as its own rules see it: rooms, modules, files and syntax trees."""

import ast
import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

import refimpl
import validation
from validation.peers.requirements import libraries

ROOT = Path(__file__).parents[2]
PACKAGES = ("refimpl", "validation")

# Each wants the library that it adapts, which only `nox -s peers` installs.
FOREIGN = tuple(f"validation.peers.{name}" for name in libraries())

# Imported here and not in a test: scikit-learn's import draws a random number.
MODULES: list[ModuleType] = [
    importlib.import_module(module.name)
    for package in (refimpl, validation)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__") and module.name not in FOREIGN
]


def rooms(package: str) -> list[str]:
    """Names of a package's rooms: its folders that hold code.

    Args:
        package: Path below the root, such as "refimpl/oracle".
    """
    folders = (ROOT / package).iterdir()
    return sorted(f.name for f in folders if f.is_dir() and any(f.glob("*.py")))


def loose_modules(package: str) -> list[str]:
    """Names of the modules that stand in a package beside its rooms."""
    return sorted(f.stem for f in (ROOT / package).glob("*.py") if f.stem != "__init__")


def room_of(path: Path) -> str:
    """The room that a file of a package belongs to, or the one whose tests a test file holds.

    Args:
        path: A file of the repository, absolute.
    """
    parts = path.relative_to(ROOT).parts
    if parts[0] == "tests":
        inside = parts[1:] if parts[1] in ("oracle", "validation") else ("refimpl", *parts[1:])
        parts = ("refimpl", *inside) if inside[0] == "oracle" else inside
    depth = 3 if parts[:2] == ("refimpl", "oracle") else 2
    return "/".join(parts[: min(depth, len(parts) - 1)])


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """All Python files below some folders of the repository, sorted."""
    return tuple(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something stands, as an editor opens it: file:line."""
    line = f":{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else ""
    return f"{path.relative_to(ROOT)}{line}"
