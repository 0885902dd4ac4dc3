"""No function hides a module: `import refimpl.X as x` always gives a module."""

import sys
from operator import attrgetter

from repository.sources import MODULES

# What a study and a bench are made of: every file of such a room has it.
ASKED_OF_EVERY_FILE = "parts"


def test_the_path_of_a_module_leads_to_the_module():
    hidden = []
    for module in MODULES:
        package, _, path = module.__name__.partition(".")
        if attrgetter(path)(sys.modules[package]) is not module:
            hidden.append(module.__name__)
    assert hidden == []


def test_no_public_function_bears_the_name_of_a_module_or_room_beside_or_above_it():
    names: dict[str, set[str]] = {}  # of the modules that stand directly in a package
    for module in MODULES:
        package, _, name = module.__name__.rpartition(".")
        names.setdefault(package, set()).add(name)
    alike = {
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
        for package in names
        if module.__name__.startswith(f"{package}.") and name in names[package]
        if name != ASKED_OF_EVERY_FILE
    }
    assert alike == set()
