"""The ball arithmetic itself: narrow, and right by derivations that share nothing with it.

Derivatives are compared with differences of an mpmath forward pass. A central difference with step
h has error O(h^2) and noise 10^-digits / h; h = 1e-20 at 60 digits leaves 1e-40 for both, h^2 times a
third derivative of at most a few thousand.
"""

from functools import cache
from itertools import chain

import flint
import numpy as np
import pytest
from flint import arb, arb_mat
from mpmath import mp, mpf

from validation.proved import arb_mlp, arb_solves
from validation.proved.balls import (
    diagonal,
    exact_balls,
    midpoints,
    radii,
    stack,
    working_precision,
)
from validation.proved.problems import PROBLEMS

STEP = mpf(10) ** -20
CLOSE = mpf(10) ** -33
SHARP = mpf(10) ** 4  # a saturated problem's third derivatives: sharpness^3

each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)


@cache
def enclosed(problem):
    with working_precision():
        return arb_mlp.enclose(problem)


def test_there_are_enough_problems_and_they_are_hard_enough():
    assert len(PROBLEMS) >= 24
    assert len({p.name for p in PROBLEMS}) == len(PROBLEMS)
    assert sum(p.damping == 1e-10 for p in PROBLEMS) >= 3
    assert max(p.num_parameters for p in PROBLEMS) >= 150
    combinations = {(p.activation, p.loss, len(p.matrices), p.bias) for p in PROBLEMS}
    assert len(combinations) == 16
    saturated = [p for p in PROBLEMS if "saturated" in p.name]
    for p in saturated:
        probabilities = np.exp(midpoints(enclosed(p).outputs))
        top = (probabilities / probabilities.sum(axis=1, keepdims=True)).max(axis=1)
        assert (1 - top).max() < 1e-4
    collinear = [p for p in PROBLEMS if "collinear" in p.name]
    assert all(np.linalg.cond(p.inputs) > 1e5 for p in collinear)


@each_problem
def test_softplus_stays_where_torch_computes_it(problem):
    # torch.nn.Softplus returns its argument above 20, 2e-9 away from log(1 + e^s).
    if problem.activation == "softplus":
        a = problem.inputs
        for matrix in problem.matrices[:-1]:
            a = np.hstack([a, np.ones((len(a), 1))]) if problem.bias else a
            assert (a @ matrix.T).max() < 20
            a = np.log1p(np.exp(a @ matrix.T))


@each_problem
def test_enclosures_are_narrower_than_sixty_digits(problem):
    e = enclosed(problem)
    factors = [matrix for pair in e.factors for matrix in pair]
    for matrix in (e.outputs, e.jacobian, e.gradients, e.gauss_newton, e.hessian, *factors):
        assert radii(matrix).max() <= 1e-60 * np.abs(midpoints(matrix)).max()
    with working_precision():
        rhs = stack([exact_balls(problem.probe()[None]), e.gradients])
        for solve in (arb_solves.solve_gauss_newton, arb_solves.solve_kfac):
            x = solve(problem, e, rhs)
            assert (radii(x).max(axis=1) <= 1e-60 * np.abs(midpoints(x)).max(axis=1)).all()


@each_problem
def test_jacobian_gradients_and_hessian_equal_central_differences(problem):
    e = enclosed(problem)
    random = np.random.RandomState(3)
    v, w = random.randn(2, problem.num_parameters)
    n = problem.num_examples
    with mp.workdps(80):
        theta = _flat(problem)
        ahead, back = _moved(theta, v, STEP), _moved(theta, v, -STEP)
        f_ahead, f_back = _outputs(problem, ahead), _outputs(problem, back)
        slopes = [
            (a - b) / (2 * STEP) for a, b in zip(chain(*f_ahead), chain(*f_back), strict=True)
        ]
        losses = [
            (a - b) / (2 * STEP)
            for a, b in zip(_losses(problem, f_ahead), _losses(problem, f_back), strict=True)
        ]
        corners = {
            (i, j): sum(_losses(problem, _outputs(problem, _moved(_moved(theta, v, i), w, j))))
            for i in (STEP, -STEP)
            for j in (STEP, -STEP)
        }
        mixed = sum(value * (1 if i == j else -1) for (i, j), value in corners.items())
        curvature = mixed / (4 * STEP**2 * n)
        with working_precision():
            column = exact_balls(v[:, None])
            exact_slopes = _mp(e.jacobian * column)
            exact_losses = _mp(e.gradients * column)
            exact_curvature = _mp(exact_balls(w[None]) * e.hessian * column)[0]
        assert max(abs(a - b) for a, b in zip(slopes, exact_slopes, strict=True)) < CLOSE * SHARP
        assert max(abs(a - b) for a, b in zip(losses, exact_losses, strict=True)) < CLOSE * SHARP
        # a second difference divides the noise 1e-80 by h^2 = 1e-40
        assert abs(curvature - exact_curvature) < CLOSE * SHARP


@each_problem
def test_the_gauss_newton_matrix_is_the_hessian_of_the_linearised_model(problem):
    # Differences of the loss along f + t J v at fixed J: d2/dt2 = v^T G v (Schraudolph 2002).
    e = enclosed(problem)
    v = np.random.RandomState(4).randn(problem.num_parameters)
    classes = problem.num_outputs
    with mp.workdps(80), working_precision():
        f = _mp(e.outputs)
        df = _mp(e.jacobian * exact_balls(v[:, None]))
        values = []
        for t in (STEP, mpf(0), -STEP):
            moved = [a + t * b for a, b in zip(f, df, strict=True)]
            grouped = [moved[i : i + classes] for i in range(0, len(moved), classes)]
            values.append(sum(_losses(problem, grouped)))
        second = (values[0] - 2 * values[1] + values[2]) / STEP**2 / problem.num_examples
        exact = _mp(exact_balls(v[None]) * e.gauss_newton * exact_balls(v[:, None]))[0]
        assert abs(second - exact) < CLOSE * SHARP * (1 + abs(exact))


@each_problem
def test_S_is_the_expectation_over_enumerated_labels(problem):
    e = enclosed(problem)
    with working_precision():
        for layer, (_, S) in enumerate(e.factors):
            total = arb_mat(S.nrows(), S.ncols())
            for p in e.passes:
                for weight, residual in _labels(problem, p.output):
                    g = p.backward[layer].transpose() * residual
                    total += g * g.transpose() * weight
            assert (total / problem.num_examples).overlaps(S)


@each_problem
def test_factors_and_corrected_eigenvalues_fit_the_gauss_newton_matrix(problem):
    e = enclosed(problem)
    with working_precision():
        for layer, ((A, S), place) in enumerate(zip(e.factors, problem.slices, strict=True)):
            eye_A, eye_S = diagonal([arb(1)] * A.nrows()), diagonal([arb(1)] * S.nrows())
            block = [e.gauss_newton[i, i] for i in range(place.start, place.stop)]
            # in the standard basis Lambda is the diagonal of G itself
            plain = arb_solves.corrected_eigenvalues(e, layer, eye_A, eye_S)
            assert all(x.overlaps(y) for x, y in zip(plain.entries(), block, strict=True))
            pairs = [arb_solves.eigenpairs(matrix) for matrix in (A, S)]
            if pairs[0] is None or pairs[1] is None:
                continue
            L = arb_solves.corrected_eigenvalues(e, layer, pairs[0].vectors, pairs[1].vectors)
            assert sum(L.entries()).overlaps(sum(block))  # identity 6 of FIELD.md
            if problem.num_examples == 1 or "eight times" in problem.name:
                kron = [s * a for s in pairs[1].values for a in pairs[0].values]
                assert all(x.overlaps(y) for x, y in zip(L.entries(), kron, strict=True))
        if problem.bias:  # identity 28
            for (A, _), columns in zip(e.factors, _mean_inputs(e), strict=True):
                last = [A[i, A.ncols() - 1] for i in range(A.nrows())]
                assert all(x.overlaps(y) for x, y in zip(last, columns, strict=True))


@each_problem
def test_eigenpairs_are_orthonormal_and_diagonalise(problem):
    with working_precision():
        for matrix in (m for pair in enclosed(problem).factors for m in pair):
            pairs = arb_solves.eigenpairs(matrix)
            if pairs is not None:
                Q = pairs.vectors
                assert (Q.transpose() * Q).overlaps(diagonal([arb(1)] * Q.nrows()))
                assert (matrix * Q).overlaps(Q * diagonal(pairs.values))
                assert radii(Q).max() < 1e-50


def test_a_repeated_eigenvalue_is_not_called_simple():
    with working_precision():
        assert arb_solves.eigenpairs(exact_balls(np.eye(3))) is None
        assert arb_solves.eigenpairs(exact_balls(np.diag([1.0, 1.0 + 1e-15, 2.0]))) is not None


@each_problem
def test_kfac_solved_by_kronecker_product_equals_kfac_solved_by_eigenvectors(problem):
    e = enclosed(problem)
    with working_precision():
        pairs = [tuple(arb_solves.eigenpairs(m) for m in factors) for factors in e.factors]
        if any(a is None or s is None for a, s in pairs):
            return
        products = [arb_mat([[s * a for a in A.values] for s in S.values]) for A, S in pairs]
        basis = [(A.vectors, S.vectors) for A, S in pairs]
        x = arb_solves.solve_eigenbasis(problem, basis, products, e.gradients)
        assert x.overlaps(arb_solves.solve_kfac(problem, e, e.gradients))


@each_problem
def test_solves_leave_no_residual(problem):
    e = enclosed(problem)
    with working_precision():
        x = arb_solves.solve_gauss_newton(problem, e, e.gradients)
        assert (x * e.gauss_newton + x * arb(problem.damping)).overlaps(e.gradients)


def test_the_callers_precision_is_restored():
    before = flint.ctx.prec
    with working_precision():
        assert flint.ctx.dps >= 60
    assert flint.ctx.prec == before
    with pytest.raises(RuntimeError), working_precision():
        raise RuntimeError
    assert flint.ctx.prec == before


def _flat(problem):
    return [mpf(float(x)) for matrix in problem.matrices for x in matrix.ravel()]


def _moved(theta, direction, step):
    return [t + step * mpf(float(d)) for t, d in zip(theta, direction, strict=True)]


def _outputs(problem, theta):
    """f of every example, in mpmath, from the flat vector."""
    outputs = []
    for x in problem.inputs:
        a = [mpf(float(value)) for value in x]
        at = 0
        for layer, matrix in enumerate(problem.matrices):
            rows, columns = matrix.shape
            if problem.bias:
                a = [*a, mpf(1)]
            s = [
                sum(theta[at + o * columns + i] * a[i] for i in range(columns)) for o in range(rows)
            ]
            at += rows * columns
            if layer < len(problem.matrices) - 1:
                s = [
                    mp.tanh(v) if problem.activation == "tanh" else mp.log(1 + mp.exp(v)) for v in s
                ]
            a = s
        outputs.append(a)
    return outputs


def _losses(problem, outputs):
    losses = []
    for f, y in zip(outputs, problem.targets, strict=True):
        if problem.loss == "cross_entropy":
            losses.append(mp.log(sum(mp.exp(v) for v in f)) - f[int(y)])
        else:
            losses.append(sum((v - mpf(float(t))) ** 2 for v, t in zip(f, y, strict=True)) / 2)
    return losses


def _labels(problem, f):
    """Probabilities of labels and the output gradients at them; +-1 for a Gaussian's coordinates."""
    classes = f.nrows()
    if problem.loss == "squared_error":
        return [
            (arb(1), arb_mat(classes, 1, [int(i == k) for i in range(classes)]))
            for k in range(classes)
        ]
    normaliser = sum(value.exp() for value in f.entries())
    return [
        (f[y, 0].exp() / normaliser, arb_mlp.output_gradient("cross_entropy", f, np.int64(y)))
        for y in range(classes)
    ]


def _mean_inputs(e):
    count = len(e.passes)
    return [
        (sum((p.inputs[layer] for p in e.passes[1:]), e.passes[0].inputs[layer]) / count).entries()
        for layer in range(len(e.factors))
    ]


def _mp(matrix):
    """Midpoints as mpmath numbers, exactly."""
    numbers = []
    for ball in matrix.entries():
        mantissa, exponent = ball.mid().man_exp()
        numbers.append(mp.ldexp(mpf(int(mantissa)), int(exponent)))
    return numbers
