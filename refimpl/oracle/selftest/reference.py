"""The reference as an adapter: refimpl itself, judged by the oracle like anyone else."""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported
from refimpl.oracle.truth.kronecker import damped_inverse, eigen, spectra
from refimpl.oracle.truth.shared import truth_of
from refimpl.oracle.truth.truth import Truth, Undecided

__all__ = ["Reference"]


@contextmanager
def _claimed() -> Generator[None]:
    """Turn `Undecided` into `Unsupported`: what refimpl cannot decide it does not claim."""
    try:
        yield
    except Undecided as error:
        raise Unsupported(str(error)) from None


class Reference(Adapter):
    """refimpl in its own conventions, or in others that `declaration` names."""

    declaration = Declaration(name="refimpl", version="0.1.0")

    def _truth(self, case: Case) -> Truth:
        truth = truth_of(case, self.declaration.curvature)
        with _claimed():
            _ = truth.loss_scale  # of the conventions' loss, where the case has one
        return truth

    def _drawn(self, case: Case, seed: int) -> Truth:
        """The truth, with the labels that the seed draws in place of their expectation."""
        expected = self._truth(case)
        if case.conventions.fisher != "sampled":
            return expected
        return Truth(case, self.declaration.curvature, seed=seed)

    def gradients(self, case: Case) -> dict[str, Array]:
        """See `Adapter`."""
        return self._truth(case).gradients

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """See `Adapter`."""
        return self._drawn(case, seed).factors

    def eigenbasis(
        self, factors: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """See `Adapter`."""
        return eigen(factors)

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """See `Adapter`."""
        return self._drawn(case, seed).eigenvalues_in(basis)

    def gauss_newton(self, case: Case, vectors: Array) -> Array:
        """See `Adapter`."""
        return vectors @ self._truth(case).matrix

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """See `Adapter`."""
        case, kind = state.case, self.declaration.curvature
        if kind == "gauss_newton":
            G = self._truth(case).second_moment
            return np.linalg.solve(G + damping * np.eye(len(G)), vectors.T).T
        assert state.basis is not None
        parts = spectra(kind, state.basis, state.eigenvalues, damping, case.conventions)
        matrices = unflatten(vectors, case, case.conventions)
        return flatten(damped_inverse(parts, matrices), case.conventions)

    def scores(self, case: Case, seed: int) -> Array:
        """See `Adapter`."""
        truth = self._drawn(case, seed)
        with _claimed():
            return truth.scores

    def response(self, case: Case, example: int, epsilon: float) -> Array:
        """See `Adapter`."""
        truth = self._truth(case)
        with _claimed():
            return truth.response(example, epsilon)
