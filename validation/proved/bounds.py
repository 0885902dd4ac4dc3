"""Bounds on the float64 errors of quantities without an inverse: `arb_mlp`'s recursions with roundings.

Each function follows the way in which refimpl evaluates a quantity, so that every rounding has its
term (see `rounding` and `elementary`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from validation.proved.elementary import activation, softmax
from validation.proved.problems import LossName, MicroProblem
from validation.proved.rounding import Rounded, U, without_error

__all__ = ["Bounds", "Layers", "corrected_eigenvalues", "error_bounds"]


@dataclass(frozen=True)
class Layers:
    """Rows of every layer.

    Args:
        inputs: a~_{l-1} of each layer, [N, I].
        gradients: Backward vectors at s_l of K directions, [K, N, O].
    """

    inputs: list[Rounded]
    gradients: list[Rounded]


@dataclass(frozen=True)
class Bounds:
    """Values with error bounds; the names are those of `Enclosure`.

    Args:
        outputs: [N, C].
        jacobian: [N C, P].
        gradients: [N, P].
        query_gradients: [Q, P].
        by_definition: G from J^T H J, [P, P].
        structured: G from pseudo-gradients, [P, P].
        hessian: [P, P].
        factors: (A, S) per layer.
        pseudo: a~ and the pseudo-gradients of every layer.
    """

    outputs: Rounded
    jacobian: Rounded
    gradients: Rounded
    query_gradients: Rounded
    by_definition: Rounded
    structured: Rounded
    hessian: Rounded
    factors: list[tuple[Rounded, Rounded]]
    pseudo: Layers


@dataclass(frozen=True)
class _Forward:
    inputs: list[Rounded]
    slopes: list[Rounded]
    bends: list[Rounded]
    outputs: Rounded


def error_bounds(problem: MicroProblem) -> Bounds:
    """Bound every quantity of a problem."""
    n, size = problem.num_examples, problem.num_parameters
    run = _forward(problem, problem.inputs)
    unit = np.broadcast_to(
        np.eye(problem.num_outputs)[:, None], (problem.num_outputs, n, problem.num_outputs)
    )
    J = _rows(problem, run, without_error(unit))  # [C, N, P]
    J = Rounded(J.value.swapaxes(0, 1), J.error.swapaxes(0, 1))
    H = _output_hessian(problem.loss, run.outputs)
    flat = J.reshape(-1, size)
    root = _root(problem.loss, run.outputs)
    pseudo = _backward(problem, run, root)
    u = _parameter_rows(run, pseudo).reshape(-1, size)
    return Bounds(
        outputs=run.outputs,
        jacobian=flat,
        gradients=_loss_gradients(problem, problem.inputs, problem.targets),
        query_gradients=_loss_gradients(problem, problem.query_inputs, problem.query_targets),
        by_definition=_mean(flat.T @ (H @ J).reshape(-1, size), n),
        structured=_mean(u.T @ u, n),
        hessian=_hessian(problem, run),
        factors=[
            (_mean(a.T @ a, n), _mean(_flat(g).T @ _flat(g), n))
            for a, g in zip(run.inputs, pseudo, strict=True)
        ],
        pseudo=Layers(run.inputs, pseudo),
    )


def corrected_eigenvalues(
    layers: Layers, layer: int, Q_A: Float[ndarray, "I I"], Q_S: Float[ndarray, "O O"]
) -> Rounded:
    """Lambda in the given basis, the basis being exact: (1/N) sum_n sum_k (Q_S^T g)^2 (a^T Q_A)^2."""
    g = layers.gradients[layer] @ without_error(Q_S)
    a = layers.inputs[layer] @ without_error(Q_A)
    n = a.value.shape[0]
    return _mean((g * g).sum(axis=0).T @ (a * a), n)


def _mean(total: Rounded, count: int) -> Rounded:
    return total / without_error(np.array(float(count)))


def _flat(g: Rounded) -> Rounded:
    return g.reshape(-1, g.value.shape[-1])


def _forward(problem: MicroProblem, x: Float[ndarray, "N d"]) -> _Forward:
    a = without_error(x)
    inputs: list[Rounded] = []
    slopes: list[Rounded] = []
    bends: list[Rounded] = []
    last = len(problem.matrices) - 1
    for layer, matrix in enumerate(problem.matrices):
        if problem.bias:
            one = np.ones((len(x), 1))
            a = Rounded(np.hstack([a.value, one]), np.hstack([a.error, 0 * one]))
        inputs.append(a)
        s = a @ without_error(matrix.T)
        if layer == last:
            return _Forward(inputs, slopes, bends, s)
        a, slope, bend = activation(problem.activation, s)
        slopes.append(slope)
        bends.append(bend)
    raise AssertionError("a problem has at least one layer")


def _backward(problem: MicroProblem, run: _Forward, cotangents: Rounded) -> list[Rounded]:
    """g_L = cotangent, g_l = (g_{l+1} W_{l+1}) phi'(s_l), each [K, N, O]."""
    gradients = [cotangents]
    for layer in reversed(range(len(problem.matrices) - 1)):
        gradients.insert(
            0, (gradients[0] @ without_error(_weight(problem, layer + 1))) * run.slopes[layer]
        )
    return gradients


def _weight(problem: MicroProblem, layer: int) -> Float[ndarray, "O I"]:
    """W of a layer without its bias column."""
    matrix = problem.matrices[layer]
    return matrix[:, : matrix.shape[1] - problem.bias]


def _parameter_rows(run: _Forward, gradients: list[Rounded]) -> Rounded:
    """G a~^T of every layer, flattened: [K, N, P]."""
    parts = [
        g.reshape(*g.value.shape, 1) * a.reshape(1, a.value.shape[0], 1, a.value.shape[1])
        for g, a in zip(gradients, run.inputs, strict=True)
    ]
    flat = [part.reshape(*part.value.shape[:2], -1) for part in parts]
    return Rounded(
        np.concatenate([part.value for part in flat], axis=-1),
        np.concatenate([part.error for part in flat], axis=-1),
    )


def _rows(problem: MicroProblem, run: _Forward, cotangents: Rounded) -> Rounded:
    return _parameter_rows(run, _backward(problem, run, cotangents))


def _residual(loss: LossName, f: Rounded, y: Shaped[ndarray, "N ..."]) -> Rounded:
    """P - e_y, or f - y: [N, C]."""
    if loss == "cross_entropy":
        return softmax(f) - without_error(np.eye(f.value.shape[-1])[y])
    return f - without_error(y)


def _output_hessian(loss: LossName, f: Rounded) -> Rounded:
    """[p_k (delta_kl - p_l)], as differentiating a log-softmax twice computes it, or I: [N, C, C]."""
    n, classes = f.value.shape
    eye = np.broadcast_to(np.eye(classes), (n, classes, classes))
    if loss == "squared_error":
        return without_error(eye)
    p = softmax(f)
    return p.reshape(n, classes, 1) * (without_error(eye) - p.reshape(n, 1, classes))


def _root(loss: LossName, f: Rounded) -> Rounded:
    """Rows sqrt(p_k) (e_k - p), 1 - p_k as the sum of the others, or the unit vectors: [C, N, C]."""
    n, classes = f.value.shape
    eye = np.eye(classes)
    if loss == "squared_error":
        return without_error(np.broadcast_to(eye[:, None], (classes, n, classes)))
    p = softmax(f)
    others = (p @ without_error(1 - eye)).T  # 1 - p_k, [C, N]
    sign = eye[:, None] - (1 - eye[:, None])  # +1 at the own class, -1 elsewhere
    magnitudes = eye[:, None] * others.value[:, :, None] + (1 - eye[:, None]) * p.value[None]
    error = eye[:, None] * others.error[:, :, None] + (1 - eye[:, None]) * p.error[None]
    roots = p.through(np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda x: U * np.sqrt(x))
    return Rounded(sign * magnitudes, error) * roots.T.reshape(classes, n, 1)


def _loss_gradients(
    problem: MicroProblem, x: Float[ndarray, "M d"], y: Shaped[ndarray, "M ..."]
) -> Rounded:
    """Grad l_n, [M, P]."""
    run = _forward(problem, x)
    residual = _residual(problem.loss, run.outputs, y)
    return _rows(problem, run, residual.reshape(1, *residual.value.shape))[0]


def _hessian(problem: MicroProblem, run: _Forward) -> Rounded:
    """The Hessian of J by forward-over-reverse (Pearlmutter 1994), all P directions at once.

    Tangents of the forward recursion, s._l = a._{l-1} W_l^T + dW_l a~_{l-1} and a._l = phi' s._l; then of
    the backward one, with c_l = g_{l+1} W_{l+1}: c._l = g._{l+1} W_{l+1} + g_{l+1} dW_{l+1} and
    g._l = phi' c._l + phi'' s._l c_l; then of the rows, g. a~^T + g a~.^T, summed over the examples.
    """
    n, size, depth = problem.num_examples, problem.num_parameters, len(problem.matrices)
    residual = _residual(problem.loss, run.outputs, problem.targets)
    g = [part[0] for part in _backward(problem, run, residual.reshape(1, *residual.value.shape))]
    moves = _directions(problem)

    s_dot: list[Rounded] = []
    a_dot = [without_error(np.zeros((size, *run.inputs[0].value.shape)))]
    for layer in range(depth):
        # transposed directions [P, I, O] act on the rows a~
        direct = run.inputs[layer] @ without_error(moves[layer].swapaxes(1, 2))
        s_dot.append(a_dot[layer] @ without_error(problem.matrices[layer].T) + direct)
        if layer < depth - 1:
            inner = run.slopes[layer] * s_dot[layer]
            a_dot.append(_pad(inner) if problem.bias else inner)

    g_dot = s_dot[-1]
    if problem.loss == "cross_entropy":
        p = softmax(run.outputs)
        mean = (p * g_dot).sum(axis=-1)
        g_dot = p * (g_dot - mean.reshape(*mean.value.shape, 1))
    parts: list[Rounded] = []
    for layer in reversed(range(depth)):
        rows = g_dot.mT @ run.inputs[layer] + g[layer].T @ a_dot[layer]
        parts.insert(0, rows.reshape(size, -1))
        if layer > 0:
            W = _weight(problem, layer)
            c = g[layer] @ without_error(W)
            c_dot = g_dot @ without_error(W) + g[layer] @ without_error(
                moves[layer][:, :, : W.shape[1]]
            )
            g_dot = run.slopes[layer - 1] * c_dot + (run.bends[layer - 1] * s_dot[layer - 1]) * c
    value = np.concatenate([part.value for part in parts], axis=1)
    error = np.concatenate([part.error for part in parts], axis=1)
    return _mean(Rounded(value, error), n)


def _directions(problem: MicroProblem) -> list[Float[ndarray, "P O I"]]:
    """The unit vectors of the flat space as matrices of every layer."""
    eye = np.eye(problem.num_parameters)
    return [
        eye[:, place].reshape(-1, *matrix.shape)
        for place, matrix in zip(problem.slices, problem.matrices, strict=True)
    ]


def _pad(a: Rounded) -> Rounded:
    """A zero column for the bias coordinate, which does not move."""
    zero = np.zeros((*a.value.shape[:-1], 1))
    return Rounded(
        np.concatenate([a.value, zero], axis=-1), np.concatenate([a.error, zero], axis=-1)
    )
