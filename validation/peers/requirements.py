"""The published libraries that are judged: each is one file of this folder.

Such a file has `REQUIREMENT`, what pip installs, and `ADAPTERS`. It imports its library, which only the
library's own environment has; so it is read here and not imported. noxfile.py imports this module: it
takes nothing but the standard library.
"""

import ast
from pathlib import Path

from validation import peers

__all__ = ["libraries"]


def libraries() -> dict[str, str]:
    """What pip installs for each library, by the name of the library's file."""
    files = [file for folder in peers.__path__ for file in sorted(Path(folder).glob("*.py"))]
    named = {file.stem: _requirement(file) for file in files}
    return {name: requirement for name, requirement in named.items() if requirement}


def _requirement(file: Path) -> str | None:
    """The value of REQUIREMENT in a file; None where it has none."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REQUIREMENT":
            return ast.literal_eval(node.value)
    return None
