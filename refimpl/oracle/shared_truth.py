"""One truth for a case, whoever asks: what it has computed is computed once in this process."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from refimpl.oracle.case import Case
from refimpl.oracle.truth import Truth

__all__ = ["truth_of"]


@dataclass(frozen=True)
class _Asked:
    """Which truth: cases are the same when their contents are."""

    fingerprint: str
    curvature: str
    case: Case = field(compare=False)


@lru_cache(maxsize=256)
def _shared(asked: _Asked) -> Truth:
    return Truth(asked.case, asked.curvature)


def truth_of(case: Case, curvature: str) -> Truth:
    """The truth of a case, shared by all who ask for it in this process.

    Args:
        case: The case.
        curvature: As for `Truth`.
    """
    content = hashlib.sha256(json.dumps(case.to_json(), sort_keys=True, default=str).encode())
    for name, array in sorted({**case.parameters, **case.arrays}.items()):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return _shared(_Asked(content.hexdigest(), curvature, case))
