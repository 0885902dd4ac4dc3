"""Verdicts on the answers to vectors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.vectors.files import Vector, paths, read

__all__ = ["Verified", "verify_answers"]


@dataclass(frozen=True)
class Verified:
    """The verdict on one output of one vector, or on a vector as a whole (output "").

    Args:
        vector: The vector's id.
        output: The output's name.
        verdict: pass, fail, error or unsupported.
        ratio: Error over u x scale, where there is one.
        detail: What is wrong, in a sentence.
    """

    vector: str
    output: str
    verdict: Verdict
    ratio: float | None = None
    detail: str = ""


def verify_answers(folder: Path, answers: Path, dtype: str = "float64") -> list[Verified]:
    """Judge a folder of answers.

    Args:
        folder: Folder of the vectors.
        answers: Folder of the answers; see the package.
        dtype: Compute dtype of the answers.

    Raises:
        BadVector: A file of `folder` is no vector.
    """
    verdicts: list[Verified] = []
    for path in paths(folder):
        vector = read(path)
        verdicts += _judged(vector, answers / path.relative_to(folder), ROUNDOFF[dtype])
    return verdicts


def _judged(vector: Vector, path: Path, unit: float) -> list[Verified]:
    def whole(verdict: Verdict, detail: str = "") -> list[Verified]:
        return [Verified(vector.id, "", verdict, detail=detail)]

    expect, reason = vector.plain["expect"], vector.plain["reason"]
    arrays = path.with_suffix(".safetensors")
    if path.exists() and arrays.exists():
        return whole(Verdict.ERROR, f"both {path.name} and {arrays.name} answer it: leave one")
    if path.exists():
        reply = _rejection(path)
        if isinstance(reply, str):
            return whole(Verdict.ERROR, reply)
        if "unsupported" in reply:
            return whole(Verdict.UNSUPPORTED, str(reply["unsupported"]))
        if expect == "match":
            return whole(Verdict.FAIL, f"rejected ({reply['rejected']}), but it has an answer")
        return whole(Verdict.PASS)
    if not arrays.exists():
        return whole(Verdict.UNSUPPORTED, f"there is neither {path.name} nor {arrays.name}")
    if expect == "reject":
        return whole(Verdict.FAIL, f"answered, but {reason}: this must be rejected")
    try:
        outputs = load(arrays.read_bytes())
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        return whole(Verdict.ERROR, f"{arrays.name} cannot be read ({error})")
    if unknown := sorted(set(outputs) - set(vector.plain["outputs"])):
        known = ", ".join(vector.plain["outputs"])
        return whole(Verdict.ERROR, f"there are no outputs {unknown}; there are {known}")
    return [_output(vector, name, outputs.get(name), unit) for name in vector.plain["outputs"]]


def _rejection(path: Path) -> dict[str, Any] | str:
    expected = 'must hold {"rejected": why} or {"unsupported": why}'
    try:
        reply = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        return f"{path.name} {expected} ({error})"
    if (
        not isinstance(reply, dict)
        or len(reply) != 1
        or not {*reply} <= {"rejected", "unsupported"}
    ):
        return f"{path.name} {expected}"
    return reply


def _output(vector: Vector, name: str, answer: Array | None, unit: float) -> Verified:
    if answer is None:
        return Verified(vector.id, name, Verdict.UNSUPPORTED, detail="not among the answers")
    entry, right = vector.plain["outputs"][name], vector.arrays[f"outputs/{name}"]
    if answer.shape != right.shape or answer.dtype.kind not in "fiu":
        detail = f"must be numbers of shape {right.shape}, got {answer.dtype} {answer.shape}"
        return Verified(vector.id, name, Verdict.ERROR, detail=detail)
    if not np.isfinite(answer).all():
        return Verified(vector.id, name, Verdict.ERROR, detail="has NaN or infinite entries")
    error = np.abs(answer.astype(np.float64) - right)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = error / (unit * vector.arrays[entry["scale"]].astype(np.float64))
    ratio = float(np.where(error == 0, 0.0, ratios).max(initial=0.0))
    # Written so that NaN fails.
    if ratio < entry["threshold"]:
        return Verified(vector.id, name, Verdict.PASS, ratio)
    detail = f"off by {ratio:.1e} times its rounding scale (at most {entry['threshold']:g})"
    return Verified(vector.id, name, Verdict.FAIL, ratio, detail)
