"""Running error analysis: float64 numbers with a bound on their rounding errors.

A `Rounded` holds the value of a quantity and a first-order bound on the error with which *any* correct
float64 evaluation of the same formula computes it (Higham 2002, sections 3.1 and 3.3):

- one operation: fl(x op y) = (x op y)(1 + d), |d| <= u = 2^-53;
- an inner product of K terms, in any order, fused or not: error <= gamma_K |x|^T |y| with
  gamma_K = K u / (1 - K u) (eq. 3.4 and 3.5);
- errors of the operands pass on with the absolute values of the derivatives.

Of order u^2, only what is relative to a term already bounded is left out. No statistics of roundings
are assumed, so nothing here is calibrated: an evaluation whose error exceeds the bound has not
evaluated the formula.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

__all__ = ["Rounded", "U", "gamma", "without_error"]

U = 2.0**-53


def gamma(terms: int) -> float:
    """gamma_K = K u / (1 - K u)."""
    return terms * U / (1 - terms * U)


@dataclass(frozen=True, eq=False)
class Rounded:
    """A value and a bound on its error, entry by entry."""

    value: Float[ndarray, "*shape"]
    error: Float[ndarray, "*shape"]

    # numpy must leave `array * rounded` to the methods below
    __array_ufunc__ = None

    @property
    def T(self) -> "Rounded":
        """The transpose."""
        return Rounded(self.value.T, self.error.T)

    @property
    def mT(self) -> "Rounded":
        """The transpose of the last two axes."""
        return Rounded(self.value.swapaxes(-1, -2), self.error.swapaxes(-1, -2))

    def reshape(self, *shape: int) -> "Rounded":
        """Reshaped, without rounding."""
        return Rounded(self.value.reshape(shape), self.error.reshape(shape))

    def __getitem__(self, where: object) -> "Rounded":
        return Rounded(self.value[where], self.error[where])  # pyright: ignore

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.error)

    def __add__(self, other: "Rounded") -> "Rounded":
        value = self.value + other.value
        return Rounded(value, self.error + other.error + U * np.abs(value))

    def __sub__(self, other: "Rounded") -> "Rounded":
        return self + (-other)

    def __mul__(self, other: "Rounded") -> "Rounded":
        value = self.value * other.value
        # the product of both errors is kept: where a value is 0 it is all there is
        passed = self.error * (np.abs(other.value) + other.error) + np.abs(self.value) * other.error
        return Rounded(value, passed + U * np.abs(value))

    def __truediv__(self, other: "Rounded") -> "Rounded":
        value = self.value / other.value
        passed = (self.error + np.abs(value) * other.error) / np.abs(other.value)
        return Rounded(value, passed + U * np.abs(value))

    def __matmul__(self, other: "Rounded") -> "Rounded":
        x, y = np.abs(self.value), np.abs(other.value)
        passed = self.error @ (y + other.error) + x @ other.error
        return Rounded(self.value @ other.value, passed + gamma(x.shape[-1]) * (x @ y))

    def sum(self, axis: int) -> "Rounded":
        """The sum over an axis: gamma_{K-1} times the sum of absolute values."""
        terms = self.value.shape[axis]
        rounding = gamma(terms - 1) * np.abs(self.value).sum(axis)
        return Rounded(self.value.sum(axis), self.error.sum(axis) + rounding)

    def through(
        self,
        function: Callable[[ndarray], ndarray],
        derivative: Callable[[ndarray], ndarray],
        own: Callable[[ndarray], ndarray],
    ) -> "Rounded":
        """An elementary function.

        Args:
            function: phi.
            derivative: phi'.
            own: Bound on the error of the computed phi at an exact argument.
        """
        x = self.value
        return Rounded(function(x), np.abs(derivative(x)) * self.error + own(x))


def without_error(value: ndarray) -> Rounded:
    """Numbers without error."""
    value = np.asarray(value, dtype=np.float64)
    return Rounded(value, np.zeros_like(value))
