"""Load an object by name: "module:name" or "path/to/file.py:name"."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["NotLoaded", "load"]


class NotLoaded(ValueError):
    """There is no such object; the text says what is missing where."""


def load(name: str, what: str = "NAME") -> Any:
    """Load the object of a name; the working folder is searched as well.

    Args:
        name: "module:name" or "path/to/file.py:name".
        what: Kind of object, for the error's text: FUNCTION or CLASS.

    Raises:
        NotLoaded: There is no such object.
    """
    module, _, attribute = name.rpartition(":")
    if not module or not attribute:
        raise NotLoaded(f"expected MODULE:{what} or FILE.py:{what}, got {name!r}")
    try:
        loaded = _file(Path(module)) if module.endswith(".py") else _module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # an import inside the user's module: theirs to see in full
        raise NotLoaded(f"there is no module {module!r} here ({Path.cwd()})") from None
    if not hasattr(loaded, attribute):
        raise NotLoaded(f"{module} has no {attribute!r}")
    return getattr(loaded, attribute)


def _module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise NotLoaded(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
