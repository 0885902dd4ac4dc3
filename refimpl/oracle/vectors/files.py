"""Reading and writing vectors; what does not fit the schema, or the hashes, stops the reader."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from refimpl.oracle.question import conventions
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions

__all__ = [
    "BadVector",
    "Vector",
    "described",
    "export",
    "paths",
    "read",
    "released",
    "schema",
    "write",
]


class BadVector(Exception):
    """A file that is no vector; the text says which, and what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector: the contents of its two files.

    Args:
        plain: The JSON file, with every convention.
        arrays: The safetensors file.
    """

    plain: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def id(self) -> str:
        """A slug that is never reused, "family/name"."""
        return self.plain["id"]


def described(arrays: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Dtype, shape and SHA-256 of each array's bytes, as vectors hold them."""
    return {
        name: {
            "dtype": str(a.dtype),
            "shape": list(a.shape),
            "sha256": hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest(),
        }
        for name, a in sorted(arrays.items())
    }


def write(vector: Vector, folder: Path) -> None:
    """Write both files of a vector; of its conventions only what differs from the defaults.

    Args:
        vector: The vector.
        folder: Where families are folders.
    """
    path = folder / f"{vector.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    differing = {"conventions": Conventions.of(vector.plain["conventions"]).changed}
    path.write_text(json.dumps({**vector.plain, **differing}, indent=1, sort_keys=True) + "\n")
    tensors = {k: np.ascontiguousarray(a) for k, a in sorted(vector.arrays.items())}
    path.with_suffix(".safetensors").write_bytes(save(tensors))


def read(path: Path) -> Vector:
    """Read a vector from its JSON file and the safetensors file beside it.

    Args:
        path: The JSON file.

    Raises:
        BadVector: It does not fit the schema (an unknown field, for one), or its arrays are not those
            that it describes.
    """
    try:
        plain = json.loads(path.read_text())
        arrays = load(path.with_suffix(".safetensors").read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise BadVector(f"{path} cannot be read ({type(error).__name__}: {error})") from None
    validator = jsonschema.Draft202012Validator(schema())
    problems = sorted(validator.iter_errors(plain), key=lambda e: e.json_path)
    if problems:
        messages = "; ".join(f"{e.json_path}: {e.message}" for e in problems[:3])
        raise BadVector(f"{path} does not fit vector.schema.json: {messages}")
    descriptions = described(arrays)
    wrong = [
        n
        for n in {*descriptions, *plain["arrays"]}
        if descriptions.get(n) != plain["arrays"].get(n)
    ]
    if wrong:
        raise BadVector(
            f"{path.with_suffix('.safetensors')} does not hold the arrays that {path.name} describes: "
            f"{', '.join(sorted(wrong)[:5])}; export the vectors again"
        )
    plain["conventions"] = Conventions.of(plain["conventions"]).plain
    return Vector(plain, arrays)


def schema() -> dict[str, Any]:
    """The schema of the JSON files: `vector.schema.json` with the conventions that there are."""
    vector_schema = json.loads(
        files("refimpl.oracle.vectors").joinpath("vector.schema.json").read_text()
    )
    vector_schema["properties"]["conventions"] = conventions.schema()
    return vector_schema


def paths(folder: Path) -> Iterator[Path]:
    """The JSON files of all vectors of a folder, in order.

    Args:
        folder: Where families are folders.
    """
    yield from sorted(folder.glob("*/*.json"))


def released() -> Path:
    """The folder of the released vectors, version 1."""
    return Path(str(files("refimpl.oracle.vectors"))) / "v1"


def export(folder: Path) -> int:
    """Copy the released vectors, byte for byte, and their hashes.

    Args:
        folder: Folder to copy to; created if it does not exist.

    Returns:
        Number of vectors.
    """
    shutil.copytree(released(), folder, dirs_exist_ok=True)
    return len(list(paths(folder)))
