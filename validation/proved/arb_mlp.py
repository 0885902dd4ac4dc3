"""Enclosures of an MLP's outputs, Jacobians, gradients and curvatures, derived by hand.

Neither torch nor refimpl is used: the forward and backward recursions, the first and second
derivatives of the activations and of the losses are written out below, in ball arithmetic.

Notation: s_l = W_l a_{l-1} + b_l, a_l = phi(s_l), a~ = (a, 1) where there is a bias; B_l = df/ds_l.
"""

from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat
from jaxtyping import Float, Shaped
from numpy import ndarray

from validation.proved.balls import diagonal, exact_balls, row, stack
from validation.proved.problems import Activation, LossName, MicroProblem

__all__ = [
    "Enclosure",
    "Pass",
    "activation_balls",
    "enclose",
    "forward_backward",
    "output_gradient",
    "output_hessian",
    "softmax_balls",
]


@dataclass(frozen=True)
class Pass:
    """One example through the network.

    Args:
        inputs: a~_{l-1} of every layer, [I, 1].
        slopes: phi'(s_l) of the hidden layers, [O].
        bends: phi''(s_l) of the hidden layers, [O].
        output: f, [C, 1].
        backward: B_l of every layer, [C, O].
    """

    inputs: list[arb_mat]
    slopes: list[list[arb]]
    bends: list[list[arb]]
    output: arb_mat
    backward: list[arb_mat]


@dataclass(frozen=True)
class Enclosure:
    """Everything about a problem that needs no inverse and no eigenvectors.

    Args:
        passes: One pass per training example.
        hessians: H_n [C, C] per training example.
        outputs: [N, C].
        jacobian: The J_n one below the other, [N C, P].
        gradients: Per-example loss gradients [N, P].
        query_gradients: The same of the queries [Q, P].
        gauss_newton: G [P, P].
        hessian: Hessian of J, [P, P].
        factors: (A [I, I], S [O, O]) per layer.
    """

    passes: list[Pass]
    hessians: list[arb_mat]
    outputs: arb_mat
    jacobian: arb_mat
    gradients: arb_mat
    query_gradients: arb_mat
    gauss_newton: arb_mat
    hessian: arb_mat
    factors: list[tuple[arb_mat, arb_mat]]


def enclose(problem: MicroProblem) -> Enclosure:
    """Enclose a problem's derivatives and factors; call it within `balls.precision()`."""
    n = problem.num_examples
    passes = [forward_backward(problem, x) for x in problem.inputs]
    hessians = [output_hessian(problem.loss, p.output) for p in passes]
    jacobians = [_jacobian(p) for p in passes]
    weighted = stack([H * J for H, J in zip(hessians, jacobians, strict=True)])
    J = stack(jacobians)
    return Enclosure(
        passes=passes,
        hessians=hessians,
        outputs=stack([p.output.transpose() for p in passes]),
        jacobian=J,
        gradients=_gradients(problem, passes, jacobians, problem.targets),
        query_gradients=_query_gradients(problem),
        gauss_newton=J.transpose() * weighted / n,
        hessian=(J.transpose() * weighted + _second_order(problem, passes)) / n,
        factors=[_factors(passes, hessians, layer) for layer in range(len(problem.matrices))],
    )


def forward_backward(problem: MicroProblem, x: Float[ndarray, " d"]) -> Pass:
    """Forward, then B_L = I, B_l = B_{l+1} W_{l+1} diag(phi'(s_l))."""
    matrices = [exact_balls(matrix) for matrix in problem.matrices]
    a = exact_balls(x[:, None])
    inputs: list[arb_mat] = []
    slopes: list[list[arb]] = []
    bends: list[list[arb]] = []
    for layer, matrix in enumerate(matrices):
        inputs.append(stack([a, arb_mat(1, 1, [1])]) if problem.bias else a)
        s = matrix * inputs[-1]
        if layer < len(matrices) - 1:
            values = [activation_balls(problem.activation, value) for value in s.entries()]
            a = arb_mat(len(values), 1, [value for value, _, _ in values])
            slopes.append([slope for _, slope, _ in values])
            bends.append([bend for _, _, bend in values])
        else:
            a = s
    backward = [diagonal([arb(1)] * problem.num_outputs)]
    for layer in reversed(range(len(matrices) - 1)):
        W = exact_balls(problem.matrices[layer + 1][:, : len(problem.matrices[layer])])
        backward.insert(0, backward[0] * W * diagonal(slopes[layer]))
    return Pass(inputs, slopes, bends, a, backward)


def activation_balls(name: Activation, s: arb) -> tuple[arb, arb, arb]:
    """phi, phi', phi'' of tanh, or of softplus log(1 + e^s) with derivative sigma = 1 / (1 + e^-s)."""
    if name == "tanh":
        a = s.tanh()
        return a, 1 - a**2, -2 * a * (1 - a**2)
    sigma = 1 / (1 + (-s).exp())
    return s.exp().log1p(), sigma, sigma * (1 - sigma)


def softmax_balls(f: arb_mat) -> list[arb]:
    exponentials = [value.exp() for value in f.entries()]
    total = sum(exponentials, arb(0))
    return [e / total for e in exponentials]


def output_gradient(loss: LossName, f: arb_mat, y: np.int64 | Float[ndarray, " C"]) -> arb_mat:
    """dl/df: p - e_y for cross-entropy, f - y for half the squared distance, [C, 1]."""
    if isinstance(y, np.integer):
        p = softmax_balls(f)
        p[int(y)] -= 1
        return arb_mat(len(p), 1, p)
    return f - exact_balls(y[:, None])


def output_hessian(loss: LossName, f: arb_mat) -> arb_mat:
    """d2l/df2: diag(p) - p p^T for cross-entropy, I for half the squared distance, [C, C]."""
    if loss == "squared_error":
        return diagonal([arb(1)] * f.nrows())
    p = softmax_balls(f)
    column = arb_mat(len(p), 1, p)
    return diagonal(p) - column * column.transpose()


def _jacobian(p: Pass) -> arb_mat:
    """df_c / d[W_l | b_l]_{oi} = B_l[c, o] a~_{l-1}[i], layer by layer, row by row."""
    outputs = p.output.nrows()
    entries = [
        B[c, o] * a
        for c in range(outputs)
        for B, inputs in zip(p.backward, p.inputs, strict=True)
        for o in range(B.ncols())
        for a in inputs.entries()
    ]
    return arb_mat(outputs, len(entries) // outputs, entries)


def _gradients(
    problem: MicroProblem,
    passes: list[Pass],
    jacobians: list[arb_mat],
    targets: Shaped[ndarray, "N ..."],
) -> arb_mat:
    """Grad l_n = J_n^T dl/df."""
    rows = [
        output_gradient(problem.loss, p.output, y).transpose() * J
        for p, J, y in zip(passes, jacobians, targets, strict=True)
    ]
    return stack(rows)


def _query_gradients(problem: MicroProblem) -> arb_mat:
    passes = [forward_backward(problem, x) for x in problem.query_inputs]
    return _gradients(problem, passes, [_jacobian(p) for p in passes], problem.query_targets)


def _factors(passes: list[Pass], hessians: list[arb_mat], layer: int) -> tuple[arb_mat, arb_mat]:
    """A = (1/N) sum_n a~ a~^T and S = (1/N) sum_n E[Ds Ds^T] = (1/N) sum_n B^T H_n B."""
    n = len(passes)
    rows = stack([p.inputs[layer].transpose() for p in passes])
    B = stack([p.backward[layer] for p in passes])
    HB = stack([H * p.backward[layer] for H, p in zip(hessians, passes, strict=True)])
    return rows.transpose() * rows / n, B.transpose() * HB / n


def _second_order(problem: MicroProblem, passes: list[Pass]) -> arb_mat:
    """sum_n of (dl/df)^T d2f, the Hessian's difference from the GNH.

    d2s_l = 2 dW_l da_{l-1} + W_l d2a_{l-1} and d2a_l = phi'(s_l) d2s_l + phi''(s_l) ds_l^2, hence with
    v_l = B_l^T dl/df the second differential is
    sum_l 2 v_l^T dW_l da_{l-1} + sum_{l<L} (W_{l+1}^T v_{l+1})^T (phi''(s_l) ds_l^2).
    """
    size = problem.num_parameters
    depth = len(problem.matrices)
    tangents = [_tangents(problem, p) for p in passes]
    cotangents = [
        [B.transpose() * output_gradient(problem.loss, p.output, y) for B in p.backward]
        for p, y in zip(passes, problem.targets, strict=True)
    ]
    total = arb_mat(size, size)
    for layer in range(1, depth):
        W = exact_balls(problem.matrices[layer][:, : len(problem.matrices[layer - 1])])
        # ds_{l-1} of all examples below one another, and the same with its weights
        ds = stack([t[0][layer - 1] for t in tangents])
        weights = [
            c * bend
            for v, p in zip(cotangents, passes, strict=True)
            for c, bend in zip(
                (W.transpose() * v[layer]).entries(), p.bends[layer - 1], strict=True
            )
        ]
        weighted = [w * x for i, w in enumerate(weights) for x in row(ds, i)]
        total += ds.transpose() * arb_mat(ds.nrows(), size, weighted)
        # rows (o, i) of the mixed term are sum_n v_l[o] da_{l-1}[i]; none for the bias column
        v = arb_mat([[v[layer][o, 0] for v in cotangents] for o in range(W.nrows())])
        flat = [t[1][layer - 1].entries() for t in tangents]
        products = v * arb_mat(len(flat), len(flat[0]), [x for entries in flat for x in entries])
        mixed = arb_mat(size, size)
        start = problem.slices[layer].start
        for o in range(W.nrows()):
            for i in range(W.ncols()):
                at = start + o * problem.matrices[layer].shape[1] + i
                for j in range(size):
                    mixed[at, j] = products[o, i * size + j]
        total += mixed + mixed.transpose()
    return total


def _tangents(problem: MicroProblem, p: Pass) -> tuple[list[arb_mat], list[arb_mat]]:
    """ds_l / dtheta and da_l / dtheta of the hidden layers, [O, P] each."""
    size = problem.num_parameters
    ds: list[arb_mat] = []
    da: list[arb_mat] = []
    for layer, slopes in enumerate(p.slopes):
        outputs, columns = problem.matrices[layer].shape
        if layer == 0:
            tangent = arb_mat(outputs, size)
        else:
            tangent = exact_balls(problem.matrices[layer][:, : da[-1].nrows()]) * da[-1]
        start = problem.slices[layer].start
        for o in range(outputs):
            for i in range(columns):
                tangent[o, start + o * columns + i] += p.inputs[layer][i, 0]
        ds.append(tangent)
        da.append(diagonal(slopes) * tangent)
    return ds, da
