"""Vectors that must be rejected, since they have no answer, and those that may be rejected."""

import numpy as np

from refimpl.oracle.cases import all_cases
from refimpl.oracle.question.case import Case
from refimpl.oracle.truth.truth import Truth
from refimpl.oracle.vectors.files import Vector
from refimpl.oracle.vectors.generate import packed, probes, rounded_up, vector

__all__ = ["licensed", "refused"]


def refused() -> list[Vector]:
    """Generate the vectors that must be rejected, each with its reason."""
    base = all_cases()["mlp/tanh-square"]
    nan, infinite = base.inputs.copy(), base.parameters["fc2.weight"].copy()
    nan[4, 1], infinite[0, 2] = np.nan, np.inf
    wrong = base.labels.copy()
    wrong[7] = 3
    without_weight = {k: v for k, v in base.parameters.items() if k != "fc2.weight"}
    pairs: list[tuple[Case, str]] = [
        (_of(base, "nan-input", "NaNInput", inputs=nan), "an input is NaN"),
        (
            _of(
                base,
                "infinite-weight",
                "InfiniteWeight",
                parameters={**base.parameters, "fc2.weight": infinite},
            ),
            "a weight is infinite",
        ),
        (
            _of(base, "negative-damping", "NegativeDamping", damping=-1e-2),
            "damping is negative",
        ),
        (
            _of(base, "fewer-labels", "ShapeMismatch", labels=base.labels[:9].copy()),
            "there are fewer labels than inputs",
        ),
        (
            _of(base, "narrow-inputs", "ShapeMismatch", inputs=base.inputs[:, :2].copy()),
            "inputs have two entries, the first layer takes three",
        ),
        (
            _of(base, "unknown-layer", "UnknownLayer", tracked=("fc1", "fc3")),
            "the model has no layer fc3",
        ),
        (
            _of(
                base,
                "no-examples",
                "NoExamples",
                inputs=base.inputs[:0].copy(),
                labels=base.labels[:0].copy(),
            ),
            "there is no training example",
        ),
        (
            _of(base, "label-out-of-range", "LabelOutOfRange", labels=wrong),
            "a label is 3, and there are three classes",
        ),
        (
            _of(base, "missing-weight", "MissingParameter", parameters=without_weight),
            "layer fc2 has no weight",
        ),
    ]
    return [packed(case, {}, {}, [], expect="reject", reason=why) for case, why in pairs]


def licensed() -> list[Vector]:
    """Generate the vectors that may be answered or rejected, each with its reason."""
    known = all_cases()
    empty = known["degenerate/empty-example"].but(id="either/empty-example")
    one = known["degenerate/one-class"].but(id="either/one-class")
    return [
        vector(empty, expect="either", reason="an example has no token that counts"),
        vector(one, expect="either", reason="there is one class: nothing can be learnt"),
        _undamped(),
    ]


def _of(base: Case, slug: str, flag: str, **changed: object) -> Case:
    return base.but(id=f"reject/{slug}", flags=(flag,), **changed)


def _undamped() -> Vector:
    """(G + 0 I) x = b with singular G and b in its range: the shortest solution, or a refusal."""
    case = all_cases()["degenerate/few-examples"].but(
        id="either/no-damping", flags=("RankDeficientNoDamping",)
    )
    matrix = Truth(case).matrix
    w, Q = np.linalg.eigh(matrix)
    nonzero = w > 1e-10 * w.max()
    b = probes(case) @ matrix
    x = ((b @ Q[:, nonzero]) / w[nonzero]) @ Q[:, nonzero].T
    # Wedin: kappa for what x is made of, and kappa ||b|| / w_min for what of b leaves the range
    kappa = w.max() / w[nonzero].min()
    size = kappa * (
        np.linalg.norm(x, axis=1, keepdims=True)
        + np.linalg.norm(b, axis=1, keepdims=True) / w[nonzero].min()
    )
    scale = rounded_up(np.broadcast_to(size, x.shape))
    return packed(
        case.but(damping=0.0),
        {"vectors": b},
        {"solve/gauss_newton": (x, scale)},
        [],
        expect="either",
        reason="damping is zero and the matrix is singular",
    )
