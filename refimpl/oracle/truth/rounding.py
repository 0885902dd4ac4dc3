"""On what scale an answer's error is judged: how far small perturbations of its problem move it.

An implementation that is backward stable computes the exact answer to a problem whose
weights, inputs and intermediate results differ from the given ones by a modest multiple of u,
relatively. The scale of an answer is therefore the size of what relative perturbations of size one
would change in it, to first order: the root mean square over DRAWS random perturbations of size DELTA,
divided by DELTA (Kenney & Laub 1994, small-sample condition estimation). `Noise` says what is
perturbed how. What cancels inside a stage (p - y of a confident softmax, 1 - tanh^2 of a saturated unit)
no perturbation of the problem shows; so what refimpl itself loses in float32, over float32's u, is added
to it as one more draw. Who forms an inverse is not backward stable, but no less right: see `residual`.
An error is then `ratio` times u times the scale, and a ratio below 30 passes.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import ROUNDOFF

__all__ = ["DELTA", "DRAWS", "Noise", "spread"]

DELTA = 1e-7  # truncation errors are of this size, roundings of size u / DELTA = 1e-9
DRAWS = 8


class Noise:
    """Relative perturbations of size DELTA, independent and normal, from a seed and what is perturbed.

    Args:
        seed: The seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _random(self, what: str) -> np.random.Generator:
        # From the name, so that what else was asked for, and when, changes nothing.
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])

    def jitter(self, what: str, array: Array) -> Array:
        """Every entry times 1 + DELTA xi: what storing and rounding each of them does.

        Args:
            what: Its name.
            array: Real numbers; integers are returned as they are.
        """
        if array.dtype.kind != "f":
            return array
        return array * (1 + DELTA * self._random(what).standard_normal(array.shape))

    def symmetric(self, what: str, matrix: Array) -> Array:
        """A + DELTA ||A||_2 E with E symmetric and ||E||_2 = 1: what an eigensolver does.

        Args:
            what: Its name.
            matrix: Symmetric [n, n].
        """
        E = self._random(what).standard_normal(matrix.shape)
        E = E + E.T
        return matrix + DELTA * np.linalg.norm(matrix, 2) / np.linalg.norm(E, 2) * E

    def residual(self, what: str, vectors: Array, columns: Array, norm: float) -> Array:
        """sum_j v_j E_j x_j with ||E_j||_2 = DELTA ||M||: how far M (X v) is from v.

        Who forms X = M^-1 solves for its columns x_j, each with an error E_j of its own (Higham 2002,
        section 14.1). They add up to more than a solve for v leaves, by as much as X is larger than X v.

        Args:
            what: Its name.
            vectors: v [k, n].
            columns: ||x_j|| [n].
            norm: ||M||_2.
        """
        n = len(columns)
        size = np.linalg.norm(vectors * columns, axis=1, keepdims=True)
        # A matrix of such numbers has norm 2 sqrt(n).
        xi = self._random(what).standard_normal(vectors.shape)
        return DELTA * norm * size * xi / (2 * np.sqrt(n))

    def moved(self, case: Case) -> Case:
        """The case with weights, inputs and values perturbed; labels are exact in every dtype.

        Args:
            case: The case.
        """
        names = ["inputs", "query_inputs"]
        names += ["labels", "query_labels"] if case.loss.kind == "squared_error" else []
        return case.but(
            parameters={k: self.jitter(k, v) for k, v in case.parameters.items()},
            **{name: self.jitter(name, getattr(case, name)) for name in names},
        )


def spread(moved: Sequence[Any], rounded: Any, plain: Any) -> Any:
    """How much relative perturbations of size one move every entry of an answer.

    Args:
        moved: The answer to every perturbed problem: an array, or a tuple of arrays.
        rounded: That computed in float32.
        plain: The answer itself.
    """
    if isinstance(plain, tuple):
        return tuple(spread([m[i] for m in moved], rounded[i], p) for i, p in enumerate(plain))
    squares = np.mean([(np.asarray(m) - plain) ** 2 for m in moved], axis=0) / DELTA**2
    lost = (np.asarray(rounded, dtype=np.float64) - plain) / ROUNDOFF["float32"]
    squares = squares + np.where(np.isfinite(lost), lost, 0.0) ** 2
    return np.sqrt(squares) + 0.1 * np.sqrt(squares.mean())
