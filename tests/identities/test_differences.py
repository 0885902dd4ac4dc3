"""Derivatives against differences that lose no digits: a complex step, and steps of sixty digits.

f(theta + i h) = f(theta) + i h f'(theta) + O(h^2) subtracts nothing, so that with h = 1e-150 the
imaginary part is the derivative to the rounding of the function itself (Squire & Trapp 1998).
"""

import mpmath
import numpy as np
import pytest
import torch
from evidence import within
from hypothesis import given
from strategies import problems

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2
STEP = 1e-150


def network(matrices: list[np.ndarray], x: np.ndarray, activation, bias: bool) -> np.ndarray:
    """A multilayer perceptron of complex matrices [W | b], on rows x."""
    for i, W in enumerate(matrices):
        rows = np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) if bias else x
        x = rows @ W.T
        if i < len(matrices) - 1:
            x = activation(x)
    return x


ANALYTIC = problems(
    depth=(1, 3),
    width=(1, 4),
    classes=(1, 3),
    examples=(1, 5),
    tokens=(0, 2),
    activations=("tanh", "identity"),
    mixing=False,
)


@given(ANALYTIC)
def test_the_jacobian_is_that_of_a_complex_step(problem):
    activation = np.tanh if any(type(m).__name__ == "Tanh" for m in problem.model) else lambda x: x
    J = ri.exact.jacobian(problem)
    theta = problem.parameters.numpy().astype(complex)
    layout, column = problem.layout, np.zeros(J.shape[:2])
    for k in range(layout.num_parameters):
        theta[k] += 1j * STEP
        matrices = [theta[b.slice].reshape(b.outputs, b.inputs) for b in layout.blocks]
        f = network(matrices, problem.inputs.numpy(), activation, layout.blocks[0].bias)
        column = f.imag.reshape(J.shape[:2]) / STEP
        theta[k] = theta[k].real
        # Each layer multiplies magnitudes: |J| <= prod ||W|| ||a||, in which its roundings are measured.
        scale = np.prod([1 + np.linalg.norm(M) for M in matrices]) * (
            1 + np.linalg.norm(problem.inputs, axis=-1).max()
        )
        within(np.abs(column - J[..., k].numpy()).max(), 100 * U * len(matrices) * scale)


def cross_entropy(f, y):
    """-sum_c w_c q_c log softmax(f)_c with weights 1, 2, 1/2 and smoothing 0.1."""
    w, q = [1, 2, mpmath.mpf("0.5")], [mpmath.mpf("0.1") / 3] * 3
    q[y] += mpmath.mpf("0.9")
    log_sum = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in f))
    return -mpmath.fsum(a * b * (x - log_sum) for a, b, x in zip(w, q, f, strict=True))


def squared(f, y):
    return mpmath.fsum((a - b) ** 2 for a, b in zip(f, y, strict=True)) / 2


def binary(f, y):
    """-2 y log sigmoid(f) - (1 - y) log sigmoid(-f), summed."""
    terms = (
        2 * b * mpmath.log1p(mpmath.exp(-a)) + (1 - b) * mpmath.log1p(mpmath.exp(a))
        for a, b in zip(f, y, strict=True)
    )
    return mpmath.fsum(terms)


CASES = {
    "cross_entropy": (
        cross_entropy,
        ri.losses.CrossEntropy(weight=torch.tensor([1.0, 2.0, 0.5]).double(), label_smoothing=0.1),
        2,
    ),
    "squared_error": (squared, ri.losses.SquaredError(), [0.3, -1.0, 2.0]),
    "binary": (binary, ri.losses.BinaryCrossEntropy(pos_weight=2.0), [1.0, 0.0, 0.25]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("outputs", [[0.5, -1.25, 2.0], [12.0, -3.0, 0.0], [-7.0, 7.5, 7.25]])
def test_derivatives_of_the_losses_are_those_of_sixty_digits(name, outputs):
    function, loss, target = CASES[name]
    f = torch.tensor([outputs], dtype=torch.float64)
    y = (
        torch.tensor([target])
        if name == "cross_entropy"
        else torch.tensor([target], dtype=torch.float64)
    )
    gradient = loss.gradient(f, y).reshape(3)
    # one block a token: an output of its own for the binary loss
    H = torch.block_diag(*loss.hessian(f, y)[0])
    root = torch.block_diag(*loss.hessian_root(f, y)[0])
    with mpmath.workdps(60):
        exact_y = target if name == "cross_entropy" else [mpmath.mpf(v) for v in target]

        def at(*point):
            return function(point, exact_y)

        point = [mpmath.mpf(v) for v in outputs]
        slope = [mpmath.diff(at, point, _orders(i)) for i in range(3)]
        curved = [[mpmath.diff(at, point, _orders(i, j)) for j in range(3)] for i in range(3)]
    # Some ten operations each, on weights of at most 2 and smooth sums of three terms.
    slack = 100 * U
    within(np.abs(gradient.numpy() - np.array(slope, float)).max(), slack * 10, "gradient")
    curved = np.array(curved, float)
    within(np.abs(H.numpy() - curved).max(), slack * 2, "Hessian")
    within(np.abs((root @ root.T).numpy() - curved).max(), slack * 2, "root of the Hessian")


def _orders(*axes: int) -> tuple[int, ...]:
    return tuple(axes.count(i) for i in range(3))
