"""The floor plan: rooms at the root, tests that mirror them, and import-linter's list of them."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from repository.sources import ROOT, loose_modules, place, python_files, rooms, tree

# The packages, and how many modules may stand in each beside its rooms.
LOOSE = {"refimpl": 0, "refimpl/oracle": 4, "validation": 6}
TESTS = {"refimpl": "tests", "refimpl/oracle": "tests/oracle", "validation": "tests/validation"}

# Folders of tests that are about no single room.
ACROSS = {
    "identities": "what must hold between exact and fast, by theorems",
    "sampling": "sampled labels by their distribution, wherever they are drawn",
    "repository": "the repository's own rules",
    "validation": "the other package",
}

# Tests named by their subject and not by a module of their room.
BY_SUBJECT = {
    "tests/curvature/test_own.py": "a curvature of one's own",
    "tests/losses/test_bregman.py": "the divergence in 400 digits",
    "tests/losses/test_curvature_only.py": "a loss of one's own",
    "tests/oracle/cases/test_a_new_case.py": "a case of one's own",
    "tests/oracle/checks/test_a_new_check.py": "a check of one's own",
    "tests/oracle/faults/test_a_new_fault.py": "a fault of one's own",
    "tests/oracle/stages/test_ninth.py": "a stage of one's own",
    "tests/oracle/stages/test_one_place.py": "nothing else knows a stage's name",
    "tests/problem/layers/test_registration.py": "a layer of one's own",
    "tests/problem/layers/test_rows.py": "rows of every layer",
    "tests/rows/test_passes.py": "how often the model is run",
    "tests/validation/studies/test_seam.py": "a study of one's own",
    "tests/problem/test_bad_inputs.py": "what is refused, wherever it is",
    "tests/problem/test_global_state.py": "the caller's model and the random state",
    "tests/report/test_style.py": "the pages' style sheet",
    "tests/rows/test_readout.py": "outputs of a frozen layer",
    "tests/oracle/checks/test_red.py": "every check fails for some fault",
    "tests/oracle/checks/test_sampled_labels.py": "checks of labels that are drawn",
    "tests/oracle/run/test_docs.py": "the examples of the oracle's pages",
    "tests/oracle/run/test_not_shown.py": "a claimed stage that nothing compared",
    "tests/oracle/selftest/test_false_alarms.py": "honest implementations pass",
    "tests/oracle/selftest/test_wheel.py": "the installed package",
    "tests/oracle/subject/test_another_language.py": "a program in Perl",
    "tests/oracle/subject/test_manners.py": "subjects that behave badly",
    "tests/oracle/vectors/test_numpy_client.py": "the example of a client",
    "tests/validation/parts/test_killed.py": "a run that was killed goes on",
    "tests/validation/proved/test_enclosures.py": "balls hold the true values",
    "tests/validation/proved/test_planted_faults.py": "the proofs can fail",
    "tests/validation/proved/test_running_errors.py": "error bounds of a pass",
    "tests/validation/proved/test_within_bounds.py": "refimpl's answers beside the proofs",
    "tests/validation/studies/test_sequences.py": "the studies of sequences",
    "tests/validation/studies/test_tables.py": "the studies of tables",
}


def names_in(room: Path) -> set[str]:
    """The room's name and those of its modules and folders."""
    inner = {p.stem for p in room.rglob("*.py")} | {p.name for p in room.rglob("*") if p.is_dir()}
    return {room.name} | inner


@pytest.mark.parametrize("package", LOOSE)
def test_a_package_holds_rooms(package):
    assert len(loose_modules(package)) <= LOOSE[package], loose_modules(package)


def test_every_file_at_the_root_of_refimpl_is_known():
    files = {p.name for p in (ROOT / "refimpl").iterdir() if p.is_file()}
    assert files == {"__init__.py", "py.typed"}


@pytest.mark.parametrize("package", TESTS)
def test_every_folder_of_tests_is_a_room(package):
    folders = {p.name for p in (ROOT / TESTS[package]).iterdir() if any(p.glob("test_*.py"))}
    assert folders - set(rooms(package)) - set(ACROSS) == set()


@pytest.mark.parametrize("package", TESTS)
def test_every_room_has_tests(package):
    untested = []
    for room in rooms(package):
        files = python_files(f"{package}/{room}")
        public = any(
            isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            for path in files
            for node in tree(path).body
        )
        if public and not list((ROOT / TESTS[package] / room).rglob("test_*.py")):
            untested.append(f"{package}/{room}")
    assert untested == []


def test_a_test_file_bears_a_name_of_its_room_or_stands_in_the_list_of_subjects():
    unknown = set()
    for package, folder in TESTS.items():
        for path in (ROOT / folder).glob("test_*.py"):
            if path.stem.removeprefix("test_").strip("_") not in {
                name.strip("_") for name in loose_modules(package)
            }:
                unknown.add(place(path))
        for room in rooms(package):
            if f"{package}/{room}" in TESTS or (package, room) == ("refimpl", "oracle"):
                continue
            known = names_in(ROOT / package / room)
            for path in (ROOT / folder / room).rglob("test_*.py"):
                if path.stem.removeprefix("test_") not in known:
                    unknown.add(place(path))
    assert unknown == set(BY_SUBJECT), "rename the test, or give BY_SUBJECT its subject"


def layer_lines(container: str) -> list[str]:
    """The lines of pyproject.toml that list the layers of a package, comments with them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = text.split("[[tool.importlinter.contracts]]")
    (contract,) = (c for c in contracts if f'containers = ["{container}"]' in c)
    listed = re.search(r"^layers = \[\n(.*?)^\]", contract, re.DOTALL | re.MULTILINE)
    assert listed
    return listed[1].splitlines()


@pytest.mark.parametrize("package", LOOSE)
def test_the_layers_of_import_linter_are_the_list_of_rooms(package):
    container = package.replace("/", ".")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (c for c in contracts if c.get("containers") == [container])
    assert contract["exhaustive"] is True
    listed = [name for layer in contract["layers"] for name in re.split(r" *[|:] *", layer)]
    assert sorted(listed) == sorted(rooms(package) + loose_modules(package))
    for line in layer_lines(container):
        assert re.search(r'", +# \w', line), f"what is this room? {line.strip()}"
