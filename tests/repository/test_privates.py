"""A private name (`_x`) stays in its room: no other imports, uses or overrides it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from repository.sources import MODULES, PACKAGES, ROOT, place, python_files, room_of, tree

# Private names of other people's code that have no public twin, each with its reason.
FOREIGN_NAMES = {
    "_version": "torch's count of in-place changes of a tensor",
    "_forward_hooks": "torch's register of a module's hooks",
    "_forward_pre_hooks": "torch's register of a module's hooks",
    "_backward_hooks": "torch's register of a module's hooks",
    "_reversed_padding_repeated_twice": "what a torch convolution pads by, in F.pad's order",
    "_BatchNorm": "torch's common base of batch norms",
    "_NormBase": "torch's common base of norms with running statistics",
    "_DropoutNd": "torch's common base of dropouts",
    "_pytree": "torch's trees of tensors: inputs may be tuples and dicts",
    "_exit": "the end of a process that nothing may catch: os._exit",
    "_mapping": "curvlinops: parameters of a K-FAC block",
    "_get_kfac_blocks": "pydvl: K-FAC's factors",
    "_solve_hvp": "pydvl: the damped solve of a block",
    "_update_diag": "pydvl: EK-FAC's corrected eigenvalues",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def names_stored(node: ast.AST) -> Iterator[str]:
    """Names that a file defines or assigns, attributes too."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inner.name
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner.attr


def names_used(node: ast.AST) -> Iterator[tuple[ast.AST, str, str]]:
    """Private names that a file imports or takes from an object: place, name, module if imported."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom):
            module = inner.module or ""
            for name in [*module.split("."), *(alias.name for alias in inner.names)]:
                if is_private(name):
                    yield inner, name, module
        elif isinstance(inner, ast.Attribute) and is_private(inner.attr):
            yield inner, inner.attr, ""


def uses_of_another_rooms_names(files: tuple[Path, ...]) -> list[str]:
    """Uses of private names that the file's own room does not define."""
    defined: dict[str, set[str]] = defaultdict(set)
    for path in files:
        defined[room_of(path)].update(names_stored(tree(path)))
    uses = []
    for path in files:
        room = room_of(path)
        for node, name, module in names_used(tree(path)):
            if name in FOREIGN_NAMES:
                continue
            of_another_module = module.startswith(PACKAGES) and not module.startswith(
                room.replace("/", ".")
            )
            if of_another_module or name not in defined[room]:
                uses.append(f"{place(path, node)}: {name}")
    return uses


def test_nothing_uses_a_private_name_of_another_room():
    files = (*python_files(*PACKAGES), ROOT / "pytest_refimpl.py", ROOT / "noxfile.py")
    assert uses_of_another_rooms_names(files) == []


def test_no_class_overrides_a_private_method_of_another_rooms_class():
    def room(cls: type) -> str:
        return ".".join(cls.__module__.split(".")[: 3 if ".oracle." in cls.__module__ else 2])

    overrides = {
        f"{cls.__module__}.{cls.__name__}.{name} overrides {base.__module__}.{base.__name__}'s"
        for module in MODULES
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__.startswith(PACKAGES)
        for base in cls.__mro__[1:]
        if base.__module__.startswith(PACKAGES) and room(base) != room(cls)
        for name in vars(cls).keys() & vars(base).keys()
        if is_private(name) and not name.startswith("_abc_") and callable(getattr(cls, name))
    }
    assert overrides == set()


def test_every_exception_is_still_needed():
    files = (*python_files(*PACKAGES, "tests"), ROOT / "conftest.py")
    used = {name for path in files for _, name, _ in names_used(tree(path))}
    assert FOREIGN_NAMES.keys() <= used
