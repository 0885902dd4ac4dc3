"""Exact moments of sampled factors and eigenvalues: mean, variance and largest value over labels.

A probe is X = z^T K z for the gradient z in an example's outputs at drawn labels, all tokens and
classes, and a positive semidefinite K = L L^T of the example: u^T S u, an entry of Lambda, a trace.
Labels of different tokens are independent and E z = 0, so that with the blocks K_st of tokens

    E X = sum_t tr(K_tt H_t),
    Var X = sum_t Var(z_t^T K_tt z_t) + 2 sum_{s != t} tr(K_st H_t K_ts H_s).

A label has few values, over which the first sum runs; for a squared error z is normal, and
Var X = 2 ||K||_F^2. No number of tokens is too large: nothing runs through all labels together.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refimpl.losses import BinaryCrossEntropy, SquaredError, as_tokens
from refimpl.losses.likelihood import label_distribution
from refimpl.oracle.question.case import Array
from refimpl.oracle.truth.concentration import bernstein, laurent_massart
from refimpl.problem.problem import Problem
from refimpl.rows.hooks import forward_pass

__all__ = [
    "Features",
    "Moments",
    "chance_of_one_value",
    "features_of_eigenvalues",
    "features_of_s",
    "moments",
    "moments_each",
]

# L of every probe of a layer, [N, D, m], D outputs: the probe is ||L^T z||^2.
Features = list[Float[Tensor, "N D m"]]


@dataclass(frozen=True)
class Moments:
    """Moments of Q probes, for one label of an example drawn at random.

    Args:
        mean: E X, the mean over examples [Q].
        variance: Var X, the mean over examples [Q].
        reach: Bernstein's b, the largest |X - E X|; for normal labels the largest ||K||_2 [Q].
        fourth: Bound on the fourth cumulant, the mean over examples [Q].
        normal: Whether the labels are normal.
    """

    mean: Array
    variance: Array
    reach: Array
    fourth: Array
    normal: bool

    def band(self, count: int, alpha: float) -> Array:
        """Bound on the distance of a mean over independent labels from its expectation [Q].

        Args:
            count: Number of labels, equally many of each example.
            alpha: Probability of a false alarm, of each probe.
        """
        if self.normal:
            return laurent_massart(self.variance / 2, self.reach, count, alpha)
        return bernstein(self.variance, self.reach, count, alpha)

    def excess(self, count: int) -> Array:
        """Bound on the excess kurtosis of the mean over labels [Q]; infinite for a constant.

        Args:
            count: Number of labels, equally many of each example.
        """
        square = count * self.variance**2
        return np.divide(self.fourth, square, out=np.full_like(square, np.inf), where=square > 0)

    def times(self, factor: float) -> "Moments":
        """The moments of the probes times a number."""
        return Moments(
            factor * self.mean,
            factor**2 * self.variance,
            factor * self.reach,
            factor**4 * self.fourth,
            self.normal,
        )


def _labels(problem: Problem) -> tuple[Float[Tensor, "N T Y C"], Float[Tensor, "N T Y"]]:
    """Pseudo-gradients of a token at each of its labels, and their probabilities."""
    f = problem.outputs()
    omega = label_distribution(problem.loss).weights(f, problem.targets).sqrt()
    tokens = as_tokens(f)
    if isinstance(problem.loss, BinaryCrossEntropy):  # each output is a label of its own
        p = tokens.sigmoid().flatten(1)
        z = torch.stack([p, p - 1], dim=-1)[..., None]
        return z * omega.reshape(*p.shape, 1, 1), torch.stack([1 - p, p], dim=-1)
    p = tokens.softmax(dim=-1)
    z = p[:, :, None, :] - torch.eye(p.shape[-1], dtype=p.dtype)
    return z * omega[:, :, None, None], p


def moments(problem: Problem, features: Features) -> Moments:
    """Mean, variance and reach of probes.

    Args:
        problem: Gives outputs, loss and label distribution.
        features: L of each probe [N, D, m].
    """
    each = [moments_each(problem, L) for L in features]
    mean = np.array([m.mean() for m, _, _ in each])
    variance = np.array([v.mean() for _, v, _ in each])
    reach = np.array([b.max() for _, _, b in each])
    # |d| <= b gives E d^4 <= b^2 E d^2; normal labels: 48 tr K^4 <= 48 ||K||_2^2 ||K||_F^2.
    normal = isinstance(problem.loss, SquaredError)
    fourth = np.array([((24 if normal else 1) * b**2 * v).mean() for _, v, b in each])
    return Moments(mean, variance, reach, fourth, normal)


def moments_each(problem: Problem, L: Float[Tensor, "N D m"]) -> tuple[Array, Array, Array]:
    """Mean, variance and reach of one probe, for every example [N].

    Args:
        problem: Gives outputs, loss and label distribution.
        L: Of the probe ||L^T z||^2 [N, D, m].
    """
    normal = isinstance(problem.loss, SquaredError)
    mean, variance, reach = _normal(L) if normal else _bounded(L, *_labels(problem))
    return mean.numpy(), variance.numpy(), reach.numpy()


def chance_of_one_value(problem: Problem, features: Features, draws: int) -> float:
    """Chance that independent draws of all labels give one value of every probe, or almost.

    At each token every draw has to be of labels whose terms are as large, to a thousandth of the largest
    of all. Sums of different terms are taken to differ, and samples of one draw to be one label.

    Args:
        problem: Gives outputs, loss and label distribution.
        features: L of each probe [N, D, m].
        draws: Number of independent draws of all labels.
    """
    if isinstance(problem.loss, SquaredError):
        return 0.0 if any(bool((L != 0).any()) for L in features) else 1.0
    z, p = _labels(problem)
    n, tokens, _, classes = z.shape
    least = 0.0
    for L in features:
        values = ((z @ L.reshape(n, tokens, classes, -1)) ** 2).sum(dim=-1)  # [N, T, Y]
        alike = (values[..., None] - values[..., None, :]).abs() <= 1e-3 * values.max()
        likeliest = (alike * p[..., None, :]).sum(dim=-1).amax(dim=-1).clamp(max=1)
        least = min(least, (draws - 1) * float(likeliest.log().sum()))
    return math.exp(least)


def _normal(L: Float[Tensor, "N D m"]) -> tuple[Tensor, Tensor, Tensor]:
    small = L.mT @ L  # [m, m], with the nonzero spectrum of K
    if small.shape[-1] > L.shape[1]:
        small = L @ L.mT
    trace = small.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    square = (small**2).sum(dim=(-2, -1))
    return trace, 2 * square, torch.linalg.matrix_norm(small, 2)


def _bounded(
    L: Float[Tensor, "N D m"], z: Float[Tensor, "N T Y C"], p: Float[Tensor, "N T Y"]
) -> tuple[Tensor, Tensor, Tensor]:
    n, tokens, _, classes = z.shape
    rows = L.reshape(n, tokens, classes, -1)
    values = ((z @ rows) ** 2).sum(dim=-1)  # ||L_t^T z_t||^2 [N, T, Y]
    means = (values * p).sum(dim=-1)
    within = ((values - means[..., None]) ** 2 * p).sum(dim=(1, 2))
    # H_t = R R^T, and P_t = L_t^T R: sum_{s != t} ||P_s^T P_t||_F^2 from sum_t P_t P_t^T.
    root = z.mT * p.sqrt()[:, :, None, :]
    P = rows.mT @ root
    gram = P @ P.mT  # [N, T, m, m]
    total = gram.sum(dim=1)
    between = (total**2).sum(dim=(-2, -1)) - (gram**2).sum(dim=(-3, -2, -1))
    mean, variance = means.sum(dim=1), within + 2 * between.clamp(min=0)
    most = values.amax(dim=-1).sqrt().sum(dim=1) ** 2  # by the triangle inequality over tokens
    return mean, variance, torch.maximum(mean, most - mean)


def _gradients(problem: Problem) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs a [N, R, I] and derivatives of every output g [D, N, R, O], in the order of the blocks."""
    run = forward_pass(problem, problem.inputs, problem.targets)
    n, size = len(run.outputs), run.outputs[0].numel()
    eye = torch.eye(size, dtype=run.outputs.dtype)[:, None].expand(size, n, size)
    g = run.backward(eye.reshape(size, *run.outputs.shape))  # in the order of the layers' calls
    return run.inputs, {block.name: g[block.name] for block in problem.layout.blocks}


def features_of_s(
    problem: Problem, probes: dict[str, Float[Tensor, "_U _O"]], sharing: str
) -> Features:
    """L of u^T S u for every u of a block, and last of the block's tr S, block after block.

    Args:
        problem: Gives the model and its data.
        probes: Vectors u [U, O] by block.
        sharing: "expand" or "reduce".
    """
    features: Features = []
    for name, g in _gradients(problem)[1].items():
        rows = g.sum(dim=2, keepdim=True) if sharing == "reduce" else g
        along = torch.einsum("dnro,uo->undr", rows, probes[name])
        features += [*along, rows.permute(1, 0, 2, 3).flatten(2)]
    return features


def features_of_eigenvalues(
    problem: Problem,
    basis: dict[str, tuple[Float[Tensor, "_I _I"], Float[Tensor, "_O _O"]]],
    entries: dict[str, list[tuple[int, int]]],
) -> Features:
    """L of some entries of Lambda, and last of its sum over the block, block after block.

    Args:
        problem: Gives the model and its data.
        basis: (Q_A, Q_S) by block.
        entries: (row, column) of entries of Lambda, by block.
    """
    features: Features = []
    inputs, gradients = _gradients(problem)
    for name, g in gradients.items():
        Q_A, Q_S = basis[name]
        turned = torch.einsum("dnro,nri->ndoi", g @ Q_S, inputs[name] @ Q_A)
        features += [turned[:, :, o, i, None] for o, i in entries[name]]
        features.append(turned.flatten(2))
    return features
