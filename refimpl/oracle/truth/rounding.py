"""Perturbations of size DELTA that stand for the rounding errors of an implementation."""

import zlib

import numpy as np

from refimpl.oracle.question.case import Array, Case

__all__ = ["DELTA", "Noise"]

DELTA = 1e-7  # truncation errors are of this size, roundings of size u / DELTA = 1e-9


class Noise:
    """Independent normal relative perturbations of size DELTA, drawn from a seed and a name.

    Args:
        seed: Seed of all perturbations, >= 0.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _random(self, what: str) -> np.random.Generator:
        # Seeded by the name, so that the order of the calls changes nothing.
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])

    def jitter(self, what: str, array: Array) -> Array:
        """Every entry times 1 + DELTA xi, as storing and rounding perturb it.

        Args:
            what: Name of the array.
            array: Real numbers; integers are returned as they are.
        """
        if array.dtype.kind != "f":
            return array
        return array * (1 + DELTA * self._random(what).standard_normal(array.shape))

    def symmetric(self, what: str, matrix: Array) -> Array:
        """A + DELTA ||A||_2 E with E symmetric and ||E||_2 = 1, as an eigensolver perturbs it.

        Args:
            what: Name of the matrix.
            matrix: Symmetric [n, n].
        """
        E = self._random(what).standard_normal(matrix.shape)
        E = E + E.T
        return matrix + DELTA * np.linalg.norm(matrix, 2) / np.linalg.norm(E, 2) * E

    def residual(self, what: str, vectors: Array, columns: Array, norm: float) -> Array:
        """The residual sum_j v_j E_j x_j with ||E_j||_2 = DELTA ||M|| of M (X v) against v.

        An explicit inverse X = M^-1 comes from solves for its columns x_j, each with its own error E_j
        (Higham 2002, section 14.1). Their sum exceeds the residual of a solve for v as X exceeds X v.

        Args:
            what: Name of the vectors.
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
        """The case with weights, inputs and real-valued labels perturbed; class labels stay exact.

        Args:
            case: The unperturbed case.
        """
        names = ["inputs", "query_inputs"]
        names += ["labels", "query_labels"] if case.loss.kind == "squared_error" else []
        return case.but(
            parameters={k: self.jitter(k, v) for k, v in case.parameters.items()},
            **{name: self.jitter(name, getattr(case, name)) for name in names},
        )
