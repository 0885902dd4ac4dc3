"""How arrays and cases travel between the oracle and a program: names in a safetensors file.

docs/another-language.md tells the protocol to those who write a program. A part of a layer goes by
"layer/part" ("fc1/A"), an argument by its name before that ("factors/fc1/A"), a parameter of a case by
"parameters/name"; what is one array alone is called "answer".
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from safetensors.torch import load

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.subject.adapter import Declaration, State

__all__ = [
    "PARTS", "PROTOCOL", "pack_answer", "pack_arguments", "pack_case", "read_arrays",
    "read_declaration", "unpack_answer", "unpack_arguments", "unpack_case", "write_arrays",
]  # fmt: skip

PROTOCOL = 1
# What a stage gives for each layer, where that is more than one array.
PARTS = {"factors": ("A", "S"), "eigenbasis": ("w_A", "Q_A", "w_S", "Q_S")}
# What arguments look like: as the answer of this stage.
_ARGUMENTS = {"factors": "factors", "basis": "eigenbasis", "eigenvalues": "eigenvalues"}
_BY_LAYER = ("gradients", "factors", "eigenbasis", "eigenvalues")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a safetensors file.

    Args:
        path: Where.
        arrays: By name.
    """
    path.write_bytes(save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file; bfloat16, which numpy does not know, becomes float32.

    Args:
        path: Where.
    """
    tensors = load(path.read_bytes())
    return {
        name: (t.float() if str(t.dtype) == "torch.bfloat16" else t).numpy()
        for name, t in tensors.items()
    }


def pack_case(case: Case) -> tuple[dict[str, Any], dict[str, Array]]:
    """A case as JSON and arrays; with the layers' shapes and the mask, for those without refimpl.

    Args:
        case: The case.
    """
    plain = case.to_json()
    plain["shapes"] = {name: list(s) for name, s in shapes(case, case.conventions).items()}
    arrays = {f"parameters/{name}": array for name, array in case.parameters.items()}
    return plain, {**arrays, **case.arrays, "mask": case.mask}


def unpack_case(plain: Mapping[str, Any], arrays: Mapping[str, Array]) -> Case:
    """The case that `pack_case` packed.

    Args:
        plain: Its JSON.
        arrays: Its arrays.
    """
    known = {name: value for name, value in plain.items() if name != "shapes"}
    own = {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith("parameters/")}
    data = {n: a for n, a in arrays.items() if "/" not in n and n != "mask"}
    return Case.from_json(known, own, data)


def pack_answer(stage: str, answer: Any) -> dict[str, Array]:
    """Arrays by name of a stage's answer, or of an argument that looks like it.

    Args:
        stage: The stage.
        answer: Arrays by layer, tuples of arrays by layer, or one array.
    """
    if stage in PARTS:
        return {
            f"{layer}/{part}": array
            for layer, arrays in answer.items()
            for part, array in zip(PARTS[stage], arrays, strict=True)
        }
    return dict(answer) if stage in _BY_LAYER else {"answer": answer}


def unpack_answer(stage: str, arrays: Mapping[str, Array]) -> Any:
    """The answer that `pack_answer` packed; what is missing is missing in it.

    Args:
        stage: The stage.
        arrays: By name.
    """
    if stage in PARTS:
        layers = dict.fromkeys(name.rpartition("/")[0] or name for name in arrays)
        return {
            layer: tuple(arrays[f"{layer}/{p}"] for p in PARTS[stage] if f"{layer}/{p}" in arrays)
            for layer in layers
        }
    return dict(arrays) if stage in _BY_LAYER else arrays.get("answer")


def pack_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Numbers and arrays of a stage's arguments.

    Args:
        arguments: By name; `State` counts as its fields.
    """
    given = dict(arguments)
    state = given.pop("state", None)
    if isinstance(state, State):
        named = {"factors": state.factors, "basis": state.basis, "eigenvalues": state.eigenvalues}
        given |= {name: value for name, value in named.items() if value is not None}
    numbers: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, value in given.items():
        if name in _ARGUMENTS:
            packed = pack_answer(_ARGUMENTS[name], value)
            arrays |= {f"{name}/{key}": array for key, array in packed.items()}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            numbers[name] = value
    return numbers, arrays


def unpack_arguments(
    stage: str, case: Case, numbers: Mapping[str, Any], arrays: Mapping[str, Array]
) -> dict[str, Any]:
    """The arguments that `pack_arguments` packed.

    Args:
        stage: The stage that they are for.
        case: The case, which `State` names.
        numbers: What is no array.
        arrays: By name.
    """
    order = shapes(case, case.conventions)
    found: dict[str, Any] = {n: a for n, a in arrays.items() if "/" not in n}
    for name, like in _ARGUMENTS.items():
        own = {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith(f"{name}/")}
        if own:
            by_layer = unpack_answer(like, own)
            # A safetensors file has an order of its own; here it is that of the flat vector.
            found[name] = {layer: by_layer[layer] for layer in order if layer in by_layer}
    if stage == "solve":
        parts = {name: found.pop(name, None) for name in _ARGUMENTS}
        found["state"] = State(case, **parts)
    return {**found, **numbers}


def pack_declaration(declaration: Declaration) -> dict[str, Any]:
    """A declaration as JSON.

    Args:
        declaration: The declaration.
    """
    return {**asdict(declaration), "conventions": dict(declaration.conventions)}


def read_declaration(plain: Mapping[str, Any]) -> Declaration:
    """A declaration from JSON.

    Args:
        plain: With "name", and "version", "conventions" and "curvature" where there is one.

    Raises:
        ValueError: It says something else.
    """
    unknown = set(plain) - {"name", "version", "conventions", "curvature"}
    if unknown or "name" not in plain:
        raise ValueError(
            "a declaration has a name, and may have version, conventions and curvature; got "
            f"{sorted(plain)}"
        )
    return Declaration(**plain)
