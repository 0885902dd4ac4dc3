"""The proved micro problems: small multilayer perceptrons given as float64 numbers.

Plain arrays, so that ball arithmetic and torch start from the very same numbers and share nothing
else. Every problem follows from its seed through numpy's RandomState, whose streams are frozen.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray
from numpy.random import RandomState

__all__ = ["PROBLEMS", "Activation", "LossName", "MicroProblem"]

Activation = Literal["tanh", "softplus"]
LossName = Literal["cross_entropy", "squared_error"]


@dataclass(frozen=True, eq=False)
class MicroProblem:
    """An MLP with its data.

    Args:
        name: What it is called in reports.
        activation: Of the hidden layers.
        loss: Softmax cross-entropy, or half the squared distance.
        bias: Whether every layer has one, as the last column of its matrix.
        matrices: [W | b] of each layer, [O, I].
        inputs: Training inputs [N, d].
        targets: Labels [N], or values [N, C].
        query_inputs: Query inputs [Q, d].
        query_targets: Labels [Q], or values [Q, C].
        damping: Lambda of every solve.
    """

    name: str
    activation: Activation
    loss: LossName
    bias: bool
    matrices: tuple[Float[ndarray, "_O _I"], ...]
    inputs: Float[ndarray, "N d"]
    targets: Shaped[ndarray, "N ..."]
    query_inputs: Float[ndarray, "Q d"]
    query_targets: Shaped[ndarray, "Q ..."]
    damping: float

    @property
    def num_parameters(self) -> int:
        """P."""
        return sum(matrix.size for matrix in self.matrices)

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        """C."""
        return len(self.matrices[-1])

    @property
    def slices(self) -> list[slice]:
        """The place of each layer in the flat vector."""
        ends = np.cumsum([0] + [matrix.size for matrix in self.matrices]).tolist()
        return [slice(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]

    def probe(self) -> Float[ndarray, " P"]:
        """A right-hand side in general position, for the solves."""
        return RandomState(7).standard_normal(self.num_parameters)


def _problem(
    name: str,
    seed: int,
    activation: Activation,
    loss: LossName,
    widths: tuple[int, ...],
    *,
    bias: bool = True,
    examples: int = 8,
    damping: float,
    sharpness: float = 1.0,
) -> MicroProblem:
    """Normal inputs of mean 0.5, weights of variance 1 / fan-in; `sharpness` scales the last layer."""
    random = RandomState(seed)
    matrices = [
        random.standard_normal((after, before + bias)) / before**0.5
        for before, after in zip(widths[:-1], widths[1:], strict=True)
    ]
    matrices[-1] = matrices[-1] * sharpness
    count = examples + 3
    x = 0.5 + random.standard_normal((count, widths[0]))
    if loss == "cross_entropy":
        y = random.randint(widths[-1], size=count)
    else:
        y = random.standard_normal((count, widths[-1]))
    data = (x[:examples], y[:examples], x[examples:], y[examples:])
    return MicroProblem(name, activation, loss, bias, tuple(matrices), *data, damping)


def _with_inputs(problem: MicroProblem, inputs: Float[ndarray, "N d"]) -> MicroProblem:
    return replace(problem, inputs=inputs)


def _regular() -> list[MicroProblem]:
    """Every combination of activation, loss, depth and bias, the damping changing along."""
    problems: list[MicroProblem] = []
    dampings = (1e-1, 1e-3, 1e-5)
    activations: tuple[Activation, ...] = ("tanh", "softplus")
    losses: tuple[LossName, ...] = ("cross_entropy", "squared_error")
    for activation in activations:
        for loss in losses:
            for widths in ((5, 6, 3), (4, 6, 5, 3)):
                for bias in (True, False):
                    seed = len(problems)
                    hidden = {3: "one hidden layer", 4: "two hidden layers"}[len(widths)]
                    name = f"{activation}, {loss}, {hidden}, {'bias' if bias else 'no bias'}"
                    damping = dampings[seed % 3]
                    problems.append(
                        _problem(name, seed, activation, loss, widths, bias=bias, damping=damping)
                    )
    return problems


def _hard() -> list[MicroProblem]:
    """Largest sizes, tiny damping, saturated softmax, collinear, graded or repeated inputs."""
    ce, se = "cross_entropy", "squared_error"
    wide, deep = (9, 10, 4), (6, 9, 6, 4)
    collinear = _problem("nearly collinear inputs", 40, "tanh", ce, (4, 6, 3), damping=1e-3)
    direction = np.array([1.0, -0.5, 0.25, 2.0])
    line = np.outer(collinear.inputs[:, 0], direction) + 1e-6 * collinear.inputs
    flat = _problem(
        "nearly collinear inputs, λ = 1e-10", 41, "softplus", se, (4, 6, 3), damping=1e-10
    )
    graded = _problem("graded inputs, λ = 1e-8", 42, "tanh", se, (4, 5, 4, 2), damping=1e-8)
    repeated = _problem("one example eight times", 43, "tanh", ce, (5, 6, 3), damping=1e-3)
    return [
        _problem("P = 144", 30, "tanh", ce, wide, damping=1e-3),
        _problem("P = 151", 31, "softplus", ce, deep, damping=1e-4),
        _problem("P = 151, squared error, λ = 1e-10", 32, "tanh", se, deep, damping=1e-10),
        _problem("λ = 1e-10", 33, "tanh", ce, (5, 6, 3), damping=1e-10),
        _problem("λ = 1e-10, two hidden layers", 34, "softplus", ce, (4, 6, 5, 3), damping=1e-10),
        # 1 - max p between 1e-9 and 1e-4 on every example
        _problem("saturated softmax", 72, "tanh", ce, (5, 6, 3), damping=1e-3, sharpness=15.0),
        _problem(
            "saturated softmax, λ = 1e-10",
            72,
            "softplus",
            ce,
            (5, 6, 3),
            damping=1e-10,
            sharpness=12.0,
        ),
        _problem(
            "saturated softmax, two classes",
            118,
            "tanh",
            ce,
            (4, 5, 5, 2),
            damping=1e-6,
            sharpness=15.0,
        ),
        _problem("one example", 38, "softplus", se, (4, 5, 3), examples=1, damping=1e-3),
        _problem("one output", 39, "tanh", se, (4, 6, 1), damping=1e-6),
        _with_inputs(collinear, line),
        _with_inputs(flat, np.outer(flat.inputs[:, 0], direction) + 1e-6 * flat.inputs),
        _with_inputs(graded, graded.inputs * np.array([1.0, 1e-2, 1e-4, 1e-6])),
        _with_inputs(repeated, repeated.inputs[[0] * 8]),
    ]


PROBLEMS: tuple[MicroProblem, ...] = (*_regular(), *_hard())
