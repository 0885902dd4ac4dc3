"""Packing of cases, arguments and answers into JSON and safetensors files, for programs.

docs/another-language.md tells the protocol to those who write a program. A part of a layer goes by
"layer/part" ("fc1/A"), an argument by its name before that ("factors/fc1/A"), a parameter of a case by
"parameters/name"; what is one array alone is called "answer".
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import load

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.stages import STAGES, Stage
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Declaration

__all__ = [
    "PROTOCOL",
    "pack_answer",
    "pack_arguments",
    "pack_case",
    "read_arrays",
    "read_declaration",
    "unpack_answer",
    "unpack_arguments",
    "unpack_case",
    "write_arrays",
]

PROTOCOL = 1
FLOATS = (torch.float64, torch.float32, torch.float16)  # those of numpy


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a safetensors file."""
    path.write_bytes(save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file; floats that numpy does not know become float32."""
    tensors = load(path.read_bytes())
    return {
        name: (t.float() if t.is_floating_point() and t.dtype not in FLOATS else t).numpy()
        for name, t in tensors.items()
    }


def pack_case(case: Case) -> tuple[dict[str, Any], dict[str, Array]]:
    """Pack a case as JSON and arrays, with the layers' shapes and the mask for those without refimpl."""
    plain = case.to_json()
    plain["shapes"] = {name: list(s) for name, s in shapes(case, case.conventions).items()}
    arrays = {f"parameters/{name}": array for name, array in case.parameters.items()}
    return plain, {**arrays, **case.arrays, "mask": case.mask}


def unpack_case(plain: Mapping[str, Any], arrays: Mapping[str, Array]) -> Case:
    """Unpack a case; the inverse of `pack_case`.

    Args:
        plain: JSON of the case.
        arrays: Arrays of the case by name.
    """
    known = {name: value for name, value in plain.items() if name != "shapes"}
    parameters = {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith("parameters/")}
    data = {n: a for n, a in arrays.items() if "/" not in n and n != "mask"}
    return Case.from_json(known, parameters, data)


def pack_answer(stage: str, answer: Any) -> dict[str, Array]:
    """Pack a stage's answer as arrays by name.

    Args:
        stage: Name of the stage.
        answer: The answer, as the stage's `read` returns it.
    """
    return STAGES[stage].arrays(answer)


def unpack_answer(stage: str, arrays: Mapping[str, Array]) -> Any:
    """Unpack an answer; the inverse of `pack_answer`. Missing arrays are missing in it."""
    return STAGES[stage].form.answer(arrays)


def _fed() -> dict[str, Stage]:
    """The stages whose answers later stages receive, by the name of the argument."""
    return {stage.fed_as: stage for stage in STAGES.values() if stage.fed_as}


def pack_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Pack a stage's arguments as numbers and arrays.

    Args:
        arguments: By name; `State` counts as its fields.
    """
    fed = _fed()
    plain = dict(arguments)
    state = plain.pop("state", None)
    if isinstance(state, State):
        parts = {name: getattr(state, name) for name in fed}
        plain |= {name: value for name, value in parts.items() if value is not None}
    numbers: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, value in plain.items():
        if name in fed:
            arrays |= {f"{name}/{key}": a for key, a in fed[name].arrays(value).items()}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            numbers[name] = value
    return numbers, arrays


def unpack_arguments(
    stage: str, case: Case, numbers: Mapping[str, Any], arrays: Mapping[str, Array]
) -> dict[str, Any]:
    """Unpack arguments; the inverse of `pack_arguments`.

    Args:
        stage: Name of the stage that they are for.
        case: The case, which `State` names.
        numbers: Arguments that are no arrays, by name.
        arrays: Arrays by name.
    """
    order = shapes(case, case.conventions)
    arguments: dict[str, Any] = {n: a for n, a in arrays.items() if "/" not in n}
    for name, source in _fed().items():
        prefix = f"{name}/"
        part = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        if part:
            by_layer = source.form.answer(part)
            # A safetensors file has an order of its own; here it is that of the flat vector.
            arguments[name] = {layer: by_layer[layer] for layer in order if layer in by_layer}
    if "state" in STAGES[stage].signature:
        arguments["state"] = State(case, **{name: arguments.pop(name, None) for name in _fed()})
    return {**arguments, **numbers}


def pack_declaration(declaration: Declaration) -> dict[str, Any]:
    """Pack a declaration as JSON."""
    return {**asdict(declaration), "conventions": dict(declaration.conventions)}


def read_declaration(plain: Mapping[str, Any]) -> Declaration:
    """Read a declaration from JSON.

    Args:
        plain: With "name", and "version", "conventions" and "curvature" where there is one.

    Raises:
        ValueError: A key is missing or unknown, or a value is not allowed.
    """
    unknown = set(plain) - {"name", "version", "conventions", "curvature"}
    if unknown or "name" not in plain:
        raise ValueError(
            "a declaration has a name, and may have version, conventions and curvature; got "
            f"{sorted(plain)}"
        )
    return Declaration(**plain)
