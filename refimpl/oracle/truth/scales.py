"""The scale of an answer's error: the change of the answer by small perturbations of its problem.

An implementation that is backward stable computes the exact answer to a problem whose weights, inputs
and intermediate results differ from the given ones by a modest multiple of u, relatively. The scale of
an answer is therefore the size of what relative perturbations of size one would change in it, to first
order: the root mean square over DRAWS random perturbations of size DELTA, divided by DELTA (Kenney & Laub
1994, small-sample condition estimation). `Noise` says what is perturbed how. What cancels inside a stage
(p - y of a confident softmax, 1 - tanh^2 of a saturated unit) no perturbation of the problem shows; so
refimpl's own error in float32, over float32's u, is added to it as one more draw. Code that computes
an explicit inverse is not backward stable, but no less right: see `Noise.residual`.

An error is then `ratio` times u times the scale, and a ratio below THRESHOLD passes. Each stage's `scale`
says what else belongs to it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.truth.kronecker import inverse_columns
from refimpl.oracle.truth.rounding import DELTA, Noise
from refimpl.oracle.truth.truth import Truth

__all__ = ["DRAWS", "THRESHOLD", "Perturbed", "scale_from_perturbations", "scale_of"]

THRESHOLD = 30.0
DRAWS = 8


class Perturbed(Truth):
    """The truth of a perturbed problem, with every stage's answer perturbed.

    Args:
        case: The unperturbed case.
        curvature: As for `Truth`.
        noise: Perturbs the case and the answers of the stages.
    """

    def __init__(self, case: Case, curvature: str, noise: Noise) -> None:
        super().__init__(noise.moved(case), curvature)
        self.noise = noise

    def stored(self, what: str, array: Array) -> Array:
        """Each entry rounded by itself."""
        return self.noise.jitter(what, array)

    def decomposed(self, what: str, matrix: Array) -> Array:
        """A matrix perturbed as a whole: rounding errors respect no structure."""
        return self.noise.symmetric(what, matrix)

    def products(self, q: Array, g: Array) -> Array:
        """The products with an explicit inverse, computed a row or a column at a time."""
        solved = self.solve(q)
        scores = -solved @ g.T
        return scores + self._residual("q", q) @ self.solve(g).T + solved @ self._residual("g", g).T

    def _residual(self, what: str, vectors: Array) -> Array:
        """The residual of an explicit inverse for every row [k, P]; see `Noise.residual`."""
        if self.curvature == "gauss_newton":
            return self.noise.residual(what, vectors, *self._dense_inverse_columns)
        residuals: dict[str, Array] = {}
        columns = inverse_columns(self.parts)
        for name, V in unflatten(vectors, self.case, self.conventions).items():
            flat, norm = V.reshape(len(V), -1), float(self.parts[name][2].max())
            left = self.noise.residual(what + name, flat, columns[name].ravel(), norm)
            residuals[name] = left.reshape(V.shape)
        return flatten(residuals, self.conventions)

    @cached_property
    def _dense_inverse_columns(self) -> tuple[Array, float]:
        """Norms [P] of the columns of the damped inverse, and of the damped matrix."""
        damped = self.second_moment + self.case.damping * np.eye(len(self.second_moment))
        columns = np.linalg.norm(np.linalg.inv(damped), axis=0)
        return columns, float(np.linalg.norm(damped, 2))


def scale_of(truth: Truth, answer: Callable[[Truth], Any]) -> Any:
    """How much relative perturbations of size one change an answer, to first order.

    Args:
        truth: Right answers to the unperturbed case.
        answer: Takes a Truth and returns an array, or arrays by layer.

    Returns:
        The structure of the answer. Each entry is its own root mean square over the draws plus a tenth of
        that of its whole array, since an entry may by chance hardly move in DRAWS draws.
    """
    if truth not in _perturbed:
        case, curvature = truth.case, truth.curvature
        draws = [Perturbed(case, curvature, Noise(seed)) for seed in range(DRAWS)]
        _perturbed[truth] = draws, Truth(case, curvature, dtype=torch.float32)
    draws, low = _perturbed[truth]
    plain = answer(truth)
    moved, rounded = [answer(t) for t in draws], answer(low)
    if isinstance(plain, Mapping):
        return {
            k: scale_from_perturbations([m[k] for m in moved], rounded[k], plain[k]) for k in plain
        }
    return scale_from_perturbations(moved, rounded, plain)


# The truths of the perturbed problems, and the one in float32, so that each computes once.
_perturbed: WeakKeyDictionary[Truth, tuple[list[Perturbed], Truth]] = WeakKeyDictionary()


def scale_from_perturbations(moved: Sequence[Any], rounded: Any, plain: Any) -> Any:
    """How much relative perturbations of size one move every entry of an answer.

    Args:
        moved: Answers to the perturbed problems: arrays, or tuples of arrays.
        rounded: The answer computed in float32.
        plain: The unperturbed answer.
    """
    if isinstance(plain, tuple):
        return tuple(
            scale_from_perturbations([m[i] for m in moved], rounded[i], p)
            for i, p in enumerate(plain)
        )
    squares = np.mean([(np.asarray(m) - plain) ** 2 for m in moved], axis=0) / DELTA**2
    lost = (np.asarray(rounded, dtype=np.float64) - plain) / ROUNDOFF["float32"]
    squares = squares + np.where(np.isfinite(lost), lost, 0.0) ** 2
    return np.sqrt(squares) + 0.1 * np.sqrt(squares.mean())
