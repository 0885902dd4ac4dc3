"""What rounding does to the steps of an implementation, acted out by perturbations of size DELTA."""

import zlib

import numpy as np

from refimpl.oracle.question.case import Array, Case

__all__ = ["DELTA", "Noise"]

DELTA = 1e-7  # truncation errors are of this size, roundings of size u / DELTA = 1e-9


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
