"""Every case, by id."""

from functools import cache

import numpy as np

from refimpl.oracle.case import Case, LossSpec

__all__ = ["cases", "quick"]


@cache
def cases() -> dict[str, Case]:
    """All cases, in the order of the report."""
    return {case.id: case for case in (_mlp(), _tokens())}


def quick() -> dict[str, Case]:
    """The most telling ones."""
    return dict(list(cases().items())[:10])


def _mlp() -> Case:
    r = np.random.default_rng(0)
    layers = (
        {"op": "linear", "name": "fc1", "bias": True},
        {"op": "tanh"},
        {"op": "linear", "name": "fc2", "bias": True},
    )
    parameters = {
        "fc1.weight": r.standard_normal((4, 4)) / 2,
        "fc1.bias": r.standard_normal(4) / 2,
        "fc2.weight": r.standard_normal((3, 4)) / 2,
        "fc2.bias": r.standard_normal(3) / 2,
    }
    x, labels = 0.5 + r.standard_normal((13, 4)), r.integers(0, 3, 13)
    return Case(
        "mlp/tanh-square", layers, parameters, ("fc1", "fc2"), x[:10], labels[:10], x[10:], labels[10:],
        LossSpec("cross_entropy"), 1e-2, ("SquareLayer", "NonZeroMeanInput", "OddLastBatch"),
    )  # fmt: skip


def _tokens() -> Case:
    r = np.random.default_rng(1)
    layers = (
        {"op": "linear", "name": "fc1", "bias": True},
        {"op": "tanh"},
        {"op": "mix"},
        {"op": "linear", "name": "fc2", "bias": True},
    )
    parameters = {
        "fc1.weight": r.standard_normal((5, 4)) / 2,
        "fc1.bias": r.standard_normal(5) / 2,
        "fc2.weight": r.standard_normal((3, 5)) / 2,
        "fc2.bias": r.standard_normal(3) / 2,
    }
    x, labels = 0.5 + r.standard_normal((13, 4, 4)), r.integers(0, 3, (13, 4))
    for n, length in enumerate((4, 2, 3, 4, 1, 4, 3, 2, 4, 4)):
        labels[n, length:] = -100
        x[n, length:] = 1e3  # after the counted tokens: causal mixing never looks at it
    return Case(
        "tokens/hostile-padding", layers, parameters, ("fc1", "fc2"), x[:10], labels[:10], x[10:],
        labels[10:], LossSpec("cross_entropy"), 1e-2,
        ("UnequalLengths", "HostilePadding", "TokenMixing", "NonZeroMeanInput", "OddLastBatch"),
    )  # fmt: skip
