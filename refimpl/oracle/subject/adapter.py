"""The base classes of adapters: a declaration, and a method for each stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.setting import State

__all__ = ["Adapter", "Declaration", "Unsupported", "stages_of"]


class Unsupported(Exception):
    """Raised by a stage for a case that the implementation does not claim to handle, saying why."""


@dataclass(frozen=True)
class Declaration:
    """Declaration of an implementation: its name, its conventions and the matrix that it inverts.

    Args:
        name: Name of the implementation.
        version: Version of the implementation.
        conventions: Choices that differ from the defaults of `Conventions`, by name.
        curvature: The matrix that `solve` and `scores` invert.

    Raises:
        ValueError: A curvature or convention that there is not, or two that exclude each other.
    """

    name: str
    version: str = "0"
    conventions: Mapping[str, Any] = field(default_factory=dict)
    curvature: Literal["ekfac", "kfac", "gauss_newton"] = "ekfac"

    def __post_init__(self) -> None:
        if self.curvature not in ("ekfac", "kfac", "gauss_newton"):
            raise ValueError(
                f"curvature must be 'ekfac', 'kfac' or 'gauss_newton', got {self.curvature!r}"
            )
        self.chosen.require_curvature(self.curvature)

    @property
    def chosen(self) -> Conventions:
        """All conventions, the defaults where it says nothing."""
        return Conventions.of(self.conventions)


class Adapter:
    """Base of an adapter: override the stages that the implementation has, and set `declaration`.

    Arrays may be anything that numpy or torch reads (`__array__` or DLPack) and that holds real numbers:
    booleans, text, masked entries or an imaginary part are an error. A layer's matrix is (O, I) with the
    bias as last column, a layer goes by its block's name (`case.blocks`), and a flat vector holds
    the matrices one after the other, all in the conventions that the declaration names. A stage that
    cannot handle a case raises `Unsupported`. Nothing may depend on an earlier call.
    """

    declaration: Declaration

    def gradients(self, case: Case) -> dict[str, Array]:
        """Gradient of every training example's loss, {layer: [N, O, I]}."""
        raise NotImplementedError

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """K-FAC's covariances, {layer: (A [I, I], S [O, O])}; `seed` draws the labels."""
        raise NotImplementedError

    def eigenbasis(
        self, factors: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """Eigendecompositions of given factors, {layer: (w_A, Q_A, w_S, Q_S)}."""
        raise NotImplementedError

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """EK-FAC's corrected eigenvalues in a given basis, {layer: [O, I]}."""
        raise NotImplementedError

    def gauss_newton(self, case: Case, vectors: Array) -> Array:
        """The undamped Gauss-Newton Hessian times each row, [k, P] -> [k, P]."""
        raise NotImplementedError

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """(H + damping)^-1 times each row, [k, P] -> [k, P]; H is what the declaration names."""
        raise NotImplementedError

    def scores(self, case: Case, seed: int) -> Array:
        """Influence of every training example on every query's loss, [Q, N]."""
        raise NotImplementedError

    def response(self, case: Case, example: int, epsilon: float) -> Array:
        """Parameters [P] at the minimiser of the proximal Bregman objective."""
        raise NotImplementedError


def stages_of(adapter: type[Adapter]) -> tuple[str, ...]:
    """The stages that an adapter overrides, in order.

    Args:
        adapter: Class of the adapter.
    """
    # A stage that the base does not have is there where the class has a method of its name.
    return tuple(s for s in STAGES if getattr(adapter, s, None) is not getattr(Adapter, s, None))
