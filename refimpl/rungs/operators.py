"""Curvatures as damped matrices, and how far one is from another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.curvature import Curvature
from refimpl.curvature.spectra import largest_absolute_eigenvalue

__all__ = ["Operator", "Record", "operator", "operator_errors"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Operator:
    """The damped matrix that a curvature's solves invert.

    Args:
        damped: It, by damping.
        matrix: H, where the damped matrix is H + damping I; None where the damping is another.
    """

    damped: Callable[[float], Float[Tensor, "P P"]]
    matrix: Float[Tensor, "P P"] | None

    @cached_property
    def norms(self) -> tuple[float, float]:
        """||H||, Frobenius and spectral."""
        assert self.matrix is not None
        return _norms(self.matrix)


def operator(curvature: Curvature) -> Operator:
    """The damped matrix that a curvature's solves invert.

    Args:
        curvature: The curvature.
    """
    if getattr(curvature, "factored_damping", False):  # no multiple of I
        return Operator(curvature.dense_damped, None)
    matrix = curvature.dense()

    def damped(damping: float) -> Float[Tensor, "P P"]:
        whole = matrix.clone()
        whole.diagonal().add_(damping)
        return whole

    return Operator(damped, matrix)


def operator_errors(
    ours: Operator | None, theirs: Operator | None, dampings: Sequence[float]
) -> list[dict[str, Record]]:
    """||E|| / ||H|| for the difference E of the damped operators, and H the one referred to.

    Args:
        ours: An approximation.
        theirs: What it is compared with.
        dampings: Every lambda.

    Returns:
        Records by damping; empty ones where a matrix may not be formed.
    """
    if ours is None or theirs is None:
        return [{} for _ in dampings]
    if ours.matrix is not None and theirs.matrix is not None:  # the dampings cancel
        record = _relative(_norms(ours.matrix - theirs.matrix), theirs.norms)
        return [dict(record) for _ in dampings]
    errors: list[dict[str, Record]] = []
    for damping in dampings:
        reference = theirs.damped(damping)
        difference = _norms(ours.damped(damping) - reference)
        if theirs.matrix is None:
            reference.diagonal().sub_(damping)
            errors.append(_relative(difference, _norms(reference)))
        else:
            errors.append(_relative(difference, theirs.norms))
    return errors


def _relative(errors: tuple[float, float], sizes: tuple[float, float]) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for name, error, size in zip(("frobenius", "spectral"), errors, sizes, strict=True):
        value = error / size if size > 0 else None
        records[f"operator_{name}"] = {"value": value, "low": value, "high": value, "undefined": 0}
    return records


def _norms(matrix: Float[Tensor, "P P"]) -> tuple[float, float]:
    """Frobenius and spectral."""
    return float(matrix.norm()), largest_absolute_eigenvalue(matrix)
