"""Activations and the softmax with bounds on the errors of their float64 evaluation.

exp, log1p, log and tanh are taken to be computed within one unit in the last place, a relative error
of at most 2 u: what SLEEF states for the functions that torch's CPU kernels call (1.0 ULP, "u10").
"""

import numpy as np
from numpy import ndarray

from validation.proved.problems import Activation
from validation.proved.rounding import Rounded, U

__all__ = ["activation", "softmax"]


def activation(name: Activation, s: Rounded) -> tuple[Rounded, Rounded, Rounded]:
    """phi, phi', phi'' with bounds; e1 and e2 are the own errors of phi' and phi''.

    tanh: a^ = a (1 + 2u). 1 - a^2 from a^: 2 |a| 2u |a| and one rounding of the square, u a^2, then
    one of the difference, u (1 - a^2). -2 a (1 - a^2): errors of both factors, two roundings.
    softplus: the exponential's 2u change log1p(e^s) by sigma 2u <= 2u log1p(e^s); log1p's own are 2u.
    sigma = e^s / (1 + e^s) or 1 / (1 + e^-s): 2u (exp), u (sum), u (quotient). sigma (1 - sigma): error
    of sigma in both factors, roundings of the difference and of two products.
    """

    def slope(x: ndarray) -> ndarray:
        return 1 - np.tanh(x) ** 2 if name == "tanh" else 1 / (1 + np.exp(-x))

    def bend(x: ndarray) -> ndarray:
        if name == "tanh":
            return -2 * np.tanh(x) * slope(x)
        return slope(x) * slope(-x)

    def third(x: ndarray) -> ndarray:
        if name == "tanh":
            return -2 * slope(x) ** 2 + 4 * np.tanh(x) ** 2 * slope(x)
        return bend(x) * (slope(-x) - slope(x))

    def e1(x: ndarray) -> ndarray:
        if name == "tanh":
            return 5 * U * np.tanh(x) ** 2 + U * slope(x)
        return 4 * U * slope(x)

    def e2(x: ndarray) -> ndarray:
        if name == "tanh":
            a = np.abs(np.tanh(x))
            return 2 * a * e1(x) + 2 * (2 * U * a) * slope(x) + 2 * U * np.abs(bend(x))
        return e1(x) * slope(-x) + slope(x) * e1(x) + 3 * U * bend(x)

    if name == "tanh":
        a = s.through(np.tanh, slope, lambda x: 2 * U * np.abs(np.tanh(x)))
    else:
        a = s.through(_softplus, slope, lambda x: 4 * U * _softplus(x))
    return a, s.through(slope, bend, e1), s.through(bend, third, e2)


def _softplus(x: ndarray) -> ndarray:
    return np.log1p(np.exp(x))


def softmax(f: Rounded) -> Rounded:
    """p, evaluated directly or as the exponential of the log-softmax x_k - log sum_l e^{x_l}, x = f - max.

    To first order d log p_k = df_k - sum_l p_l df_l. Roundings relative to p_k: u |x_k| and, through
    the sum, u sum_l p_l |x_l| (difference from the maximum); 2u + 2u (exponentials), C u (sum); 3u |log
    sum| (logarithm, subtraction of it); u |log p_k| (subtraction); 2u (last exponential); u (quotient).
    """
    x = f.value - f.value.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(x).sum(axis=-1, keepdims=True))
    p = np.exp(x - log_total)
    classes = p.shape[-1]
    passed = f.error * np.abs(1 - p) + (p * f.error).sum(axis=-1, keepdims=True) - p * f.error
    rounding = np.abs(x) + (p * np.abs(x)).sum(axis=-1, keepdims=True) + 3 * log_total
    rounding = rounding + np.abs(x - log_total) + classes + 7
    return Rounded(p, p * (passed + U * rounding))
