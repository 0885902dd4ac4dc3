"""Rules for a folder of vectors that JSON Schema cannot express."""

from pathlib import Path

from refimpl.oracle.checks import CHECKS
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.vectors.files import BadVector, Vector, paths, read
from refimpl.oracle.vectors.flags import FLAGS, LICENCES

__all__ = ["lint_folder"]


def lint_folder(folder: Path) -> list[str]:
    """List what is wrong with the vectors of a folder, a sentence each.

    Args:
        folder: Where families are folders.
    """
    wrong: list[str] = []
    json_paths = list(paths(folder))
    for path in json_paths:
        try:
            vector = read(path)
        except BadVector as error:
            wrong.append(str(error))
            continue
        wrong += [f"{path}: {sentence}" for sentence in _vector(vector, path)]
    known = {path.with_suffix("") for path in json_paths}
    wrong += [
        f"{path} has no JSON file"
        for path in sorted(folder.glob("*/*.safetensors"))
        if path.with_suffix("") not in known
    ]
    return wrong if json_paths else [f"{folder} holds no vectors: <family>/<slug>.json is expected"]


def _vector(vector: Vector, path: Path) -> list[str]:
    plain, arrays = vector.plain, vector.arrays
    wrong: list[str] = []
    if plain["id"] != f"{path.parent.name}/{path.stem}":
        wrong.append(f"id {plain['id']!r} is not the file's place")
    wrong += [f"flag {f!r} has no note in flags.toml" for f in plain["flags"] if f not in FLAGS]
    licensed = any(f in LICENCES for f in plain["flags"])
    if plain["expect"] == "either" and not licensed:
        wrong.append(f"'either' needs a flag that licenses it, one of {', '.join(LICENCES)}")
    if (plain["expect"] == "match") != (plain["reason"] == ""):
        wrong.append("a reason is given for 'reject' and 'either', and only there")
    if (plain["expect"] == "reject") != (not plain["outputs"]):
        wrong.append("'reject' has no outputs, the others have some")
    if plain["expect"] == "match" and not plain["checks_made"]:
        wrong.append("nothing confirmed it: checks_made is empty")
    try:
        Conventions.of(plain["conventions"])
    except ValueError as error:
        wrong.append(str(error))
    slugs = {check.slug for check in CHECKS}
    for name, output in plain["outputs"].items():
        if output["check"] not in slugs:
            wrong.append(f"output {name!r}: there is no check {output['check']!r}")
        right, scale = arrays.get(f"outputs/{name}"), arrays.get(output["scale"])
        if right is None or scale is None or right.shape != scale.shape:
            wrong.append(f"output {name!r}: array and scale of one shape are expected")
        elif not (scale >= 0).all():
            wrong.append(f"output {name!r}: scales must be >= 0")
    for confirmation in plain["checks_made"]:
        if unknown := [o for o in confirmation["outputs"] if not _names(o, plain["outputs"])]:
            wrong.append(f"checks_made: there are no outputs {unknown}")
    named = {f"outputs/{n}" for n in plain["outputs"]}
    stray = [n for n in arrays if n.startswith("outputs/") and n not in named]
    return wrong + [f"array {name!r} is no output" for name in stray]


def _names(output: str, outputs: dict[str, object]) -> bool:
    return any(name == output or name.startswith(f"{output}/") for name in outputs)
