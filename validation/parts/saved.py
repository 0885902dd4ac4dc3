"""Results of a study's parts on disk: written whole or not at all, found again by what made them."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from refimpl.rungs.plan import Result as Computed

__all__ = ["Result", "fingerprint", "load", "plain", "save", "source_hash", "write_atomically"]


@dataclass(frozen=True)
class Result(Computed):
    """What a part gave, plain values and arrays; how long it took; when and with what it was made."""

    seconds: float = 0.0
    made: dict[str, Any] = field(default_factory=dict)


def save(path: Path, key: str, result: Result) -> None:
    """Write a result as PATH.npz and PATH.json; the second names the first and commits both.

    Args:
        path: Where, without an ending.
        key: The fingerprint of everything that the result depends on.
        result: The result.
    """
    digest = ""
    if result.arrays:
        arrays = {name: np.asarray(a) for name, a in sorted(result.arrays.items())}
        write_atomically(path.with_suffix(".npz"), lambda file: np.savez(file, **arrays))
        digest = _digest(path.with_suffix(".npz"))
    record = {
        "key": key,
        "seconds": result.seconds,
        "made": result.made,
        "arrays": digest,
        "values": plain(result.values),
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    write_atomically(path.with_suffix(".json"), lambda file: file.write(text.encode()))


def load(path: Path, key: str | None) -> Result | None:
    """The result saved at a path, or None where there is none with that key, or not all of it.

    Args:
        path: Where, without an ending.
        key: The fingerprint it must carry; None takes whatever is there.
    """
    try:
        record = json.loads(path.with_suffix(".json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if key is not None and record["key"] != key:
        return None
    arrays: dict[str, np.ndarray] = {}
    if record["arrays"]:
        stored = path.with_suffix(".npz")
        if not stored.exists() or _digest(stored) != record["arrays"]:
            return None
        with np.load(stored, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    return Result(record["values"], arrays, record["seconds"], record["made"])


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a reader, or a killed writer, never leaves half of it under its name.

    Args:
        path: The file; its folder is made.
        write: Writes the content to an open binary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One writer a folder (the runner's lock), so a fixed name: what a kill leaves is overwritten.
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fingerprint(*things: Any) -> str:
    """A hash of plain values: equal exactly when they are."""
    text = json.dumps([plain(t) for t in things], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def source_hash(root: Path, files: Sequence[Path]) -> str:
    """A hash of source files: their places below a root and their bytes."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers, text, lists, dicts; what is not finite becomes None.

    Args:
        value: Dicts with text keys, sequences, numpy or Python scalars, arrays.

    Raises:
        TypeError: Something that JSON cannot hold.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"keys of results must be text, got {key!r}")
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(
        f"a result may hold numbers, text, lists and dicts, got {type(value).__name__}: "
        "convert it, or return it among the arrays"
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
