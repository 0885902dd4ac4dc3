"""LiSSA against its recursion written out with dense matrices, and its promises of stability."""

import itertools

import pytest
import torch
from evidence import within
from hypothesis import given
from strategies import mlp, problems, randomise, vectors

import refimpl as ri
from refimpl.fast.lissa import _traces
from refimpl.problem.data import index
from refimpl.rows.matrices import gradient_matrices

U = torch.finfo(torch.float64).eps / 2
DAMPING = 0.1


def lissa(problem, depth=7, batch=None, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    batch = problem.num_examples if batch is None else batch
    return ri.fast.LiSSA(problem, depth=depth, batch_size=batch, generator=generator, **options)


def small(examples=6) -> ri.Problem:
    g = torch.Generator().manual_seed(1)
    model = randomise(mlp([3, 4, 3], bias=True, activation="tanh"), g)
    x = torch.randn(examples, 3, generator=g, dtype=torch.float64)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(examples) % 3)


def matrix(problem, chosen=None) -> torch.Tensor:
    """The damped matrix of some examples, by definition."""
    if chosen is not None:
        inputs, targets = index(problem.inputs, chosen), problem.targets[chosen]
        problem = ri.Problem(problem.model, problem.loss, inputs, targets)
    G = ri.exact.gauss_newton_matrix(problem)
    return G + DAMPING * torch.eye(len(G)).to(G)


def rounding(problem) -> torch.Tensor:
    """How far a product with a minibatch's matrix may be from the definition's, for a unit vector.

    As for the diagonal and the blocks (test_baselines.py): 30 u sqrt(outputs) times the size of the
    terms, here of the largest example's, which no mean exceeds.
    """
    weight = problem.loss.weights(problem.outputs(), problem.targets).max()
    size = weight * (ri.exact.jacobian(problem).flatten(1).norm(dim=1) ** 2).max()
    return 30 * U * problem.outputs().numel() ** 0.5 * (size + DAMPING)


def replay(v, matrices, scale, error) -> tuple[torch.Tensor, torch.Tensor]:
    """r_J / scale by dense matrices, and how far an answer with products off by `error` may be.

    Every step adds error / scale ||r|| for the product and 4 u (||v|| + 2 ||r||) for the three sums; the
    matrices I - A_j / scale have norm <= 1 for positive A_j <= 2 scale, so that nothing grows.
    """
    r, total = v, torch.zeros(len(v)).double()
    for A in matrices:
        total += error / scale * r.norm(dim=1) + 4 * U * (v.norm(dim=1) + 2 * r.norm(dim=1))
        r = v + r - r @ A / scale
    return r / scale, total / scale


@given(problems(examples=(1, 8), tokens=(0, 3)))
def test_with_full_batches_the_answer_is_the_truncated_neumann_series(problem):
    v, A = vectors(problem, 2), matrix(problem)
    curvature = lissa(problem)
    scale = curvature.stable_scale(DAMPING)
    x = curvature.solve(v, DAMPING).value
    eye = torch.eye(len(A)).to(A)
    series = sum(torch.linalg.matrix_power(eye - A / scale, i) for i in range(8))
    _, slack = replay(v, [A] * 7, scale, rounding(problem))
    # Powers of a matrix of norm <= 1, each from at most 3 products of P terms, in 8 summands.
    slack = slack + 8 * 3 * len(A) * U * v.norm(dim=1) * len(A) ** 0.5 / scale
    within((x - v @ series / scale).norm(dim=1), slack)


@given(problems(examples=(2, 6), tokens=(0, 3)))
def test_minibatches_give_the_recursion_with_their_own_matrices(problem):
    batch = (problem.num_examples + 1) // 2
    # Twice the largest eigenvalue of any minibatch bounds every I - A_j / scale by 1.
    curvature = lissa(problem, depth=5, batch=batch, repeats=2)
    repeats = [[matrix(problem, chosen) for chosen in r] for r in curvature.minibatches()]
    scale = max(float(torch.linalg.eigvalsh(A)[-1]) for r in repeats for A in r)
    curvature.scale = scale
    v = vectors(problem, 3)
    answers = [replay(v, matrices, scale, rounding(problem)) for matrices in repeats]
    x = curvature.solve(v, DAMPING).value
    expected = (answers[0][0] + answers[1][0]) / 2
    slack = (answers[0][1] + answers[1][1]) / 2 + 2 * U * expected.norm(dim=1)
    within((x - expected).norm(dim=1), slack)
    # The trace is of each repeat's own answer, with the matrix of all examples.
    A = matrix(problem)
    for (own, off), seen in zip(answers, curvature.trace.residuals[:, -1], strict=True):
        residual = (v - own @ A).norm(dim=1)
        slack = scale * off + (rounding(problem) + 3 * U) * own.norm(dim=1) + 3 * U * v.norm(dim=1)
        within((seen * v.norm(dim=1) - residual).abs(), slack + 4 * U * residual)


@given(problems(examples=(1, 8), tokens=(0, 3)))
def test_it_converges_to_the_exact_solve_at_the_rate_of_the_smallest_eigenvalue(problem):
    v, A = vectors(problem, 2), matrix(problem)
    eigenvalues, Q = torch.linalg.eigh(A)
    exact = (v @ Q / eigenvalues) @ Q.T
    for depth in (1, 8):
        curvature = lissa(problem, depth=depth)
        scale = curvature.stable_scale(DAMPING)
        x = curvature.solve(v, DAMPING).value
        # x_0 - x = -(I - A / scale) x, and every step multiplies it by I - A / scale once more.
        rate = 1 - max(float(eigenvalues[0]), DAMPING * (1 - 1e-12)) / scale
        _, slack = replay(v, [A] * depth, scale, rounding(problem))
        slack = slack + 10 * len(A) * U * eigenvalues[-1] / DAMPING * exact.norm(dim=1)
        within((x - exact).norm(dim=1), rate ** (depth + 1) * exact.norm(dim=1) + slack)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_at_the_default_scale_every_step_contracts_in_mean_square(batch):
    # Over all minibatches that could be drawn, E (I - A_j / s)^2 <= I - A / s, and the scale is not
    # idle: half the part that stands for the minibatch's variance breaks it for an equal example.
    problem = small()
    s = lissa(problem, batch=batch).stable_scale(DAMPING)
    eye = torch.eye(problem.num_parameters).double()
    steps = [
        eye - matrix(problem, torch.tensor(chosen)) / s
        for chosen in itertools.combinations(range(6), batch)
    ]
    mean_square = sum(step @ step for step in steps) / len(steps)
    slack = torch.linalg.eigvalsh(eye - matrix(problem) / s - mean_square)[0]
    within(-slack, 100 * U)


def test_the_default_scale_counts_the_variance_of_a_minibatch():
    # Squared error of one output: G_n = a a^T with a = (x, 1), so L = max ||a||^2, all by hand.
    x = torch.tensor([[1.0], [0.0], [-1.0], [2.0]]).double()
    problem = ri.Problem(torch.nn.Linear(1, 1), ri.losses.SquaredError(), x, x)
    largest = torch.linalg.eigvalsh(torch.tensor([[6.0, 2.0], [2.0, 4.0]]).double() / 4)[-1]
    for batch, noise in ((1, 5.0), (2, 2 / 3 * 5 / 2), (3, 1 / 3 * 5 / 3), (4, 0.0)):
        scale = lissa(problem, batch=batch).stable_scale(0.25)
        within(abs(scale - (1.001 * largest + 0.25 + noise)), 20 * U * scale)


def test_minibatches_are_distinct_examples_drawn_evenly_and_anew_for_every_repeat():
    problem = small(10)
    curvature = lissa(problem, depth=2000, batch=3, repeats=2)
    drawn = [torch.stack(list(repeat)) for repeat in curvature.minibatches()]
    again = [torch.stack(list(repeat)) for repeat in curvature.minibatches()]
    assert torch.equal(torch.stack(drawn), torch.stack(again))
    assert not torch.equal(*drawn)
    for batches in drawn:
        assert batches.shape == (2000, 3)
        assert all(len(set(batch)) == 3 for batch in batches.tolist())
        # Each example is in a batch with probability 0.3; 5 standard deviations, 20 counts.
        counts = torch.bincount(batches.flatten(), minlength=10)
        within((counts - 600).abs(), 5 * (2000 * 0.3 * 0.7) ** 0.5)


def test_the_answer_depends_on_the_generator_alone_and_not_on_the_other_right_hand_sides():
    problem, v = small(), vectors(small(), 3)

    def solve(v, seed=0):
        return lissa(problem, depth=6, batch=2, seed=seed).solve(v, DAMPING).value

    curvature = lissa(problem, depth=6, batch=2)
    first = curvature.solve(v, DAMPING).value
    assert torch.equal(first, curvature.solve(v, DAMPING).value)
    assert torch.equal(first, solve(v))
    assert not torch.allclose(first, solve(v, seed=1), rtol=1e-3, atol=0)
    together = [matrix(problem, c) for c in next(curvature.minibatches())]
    _, off = replay(v, together, curvature.stable_scale(DAMPING), rounding(problem))
    # At most twice the rounding of one: each of the two is so near the dense recursion.
    apart = torch.stack([solve(one) for one in v])
    worst = max(1.0, *(float(torch.linalg.matrix_norm(A, 2)) for A in together))
    within((first - apart).norm(dim=1), 2 * worst * off)
    generator = torch.Generator().manual_seed(0)
    pair = [ri.fast.LiSSA(problem, depth=6, batch_size=2, generator=generator) for _ in range(2)]
    assert not torch.equal(*(c.solve(v, DAMPING).value for c in pair))


@pytest.mark.parametrize(("depth", "steps"), [(1, [1]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])])
def test_the_trace_looks_at_powers_of_two_and_the_last_step(depth, steps):
    problem = small()
    curvature = lissa(problem, depth=depth, repeats=3)
    assert curvature.trace is None
    b = vectors(problem, 4)
    b[2] = 0.0
    found = curvature.solve(b.reshape(2, 2, -1), DAMPING).certificate.residual
    assert curvature.trace.steps.tolist() == steps
    assert curvature.trace.residuals.shape == (3, len(steps), 4)
    assert bool((curvature.trace.residuals[:, :, 2] == 0).all())  # nothing asked, nothing missed
    # Full batches: every repeat is the same recursion, and its residual only falls.
    last = curvature.trace.residuals[0, -1] * b.norm(dim=1)
    within((last - found.flatten()).abs(), 10 * rounding(problem) * (1 + b.norm(dim=1)))
    assert bool((curvature.trace.residuals.diff(dim=1) <= 0).all())


def test_a_matrix_that_is_known_measures_residuals_and_moves_no_step():
    p = small()
    v, G = vectors(p, 2), ri.exact.gauss_newton_matrix(p)
    own = lissa(p, batch=2, scale=5.0).solve(v, DAMPING).value
    told = lissa(p, batch=2, scale=5.0, matrix=2 * G)  # a wrong one, so that its use is seen
    x = told.solve(v, DAMPING).value
    assert torch.equal(x, own)
    expected = (v - x @ (2 * G + DAMPING * torch.eye(len(G)).to(G))).norm(dim=1) / v.norm(dim=1)
    assert told.trace is not None
    # Two roundings of sums of P products, each of the size of the terms.
    size = 1 + (2 * torch.linalg.matrix_norm(G, ord=2) + DAMPING) * x.norm(dim=1) / v.norm(dim=1)
    within((told.trace.residuals[0, -1] - expected).abs(), 8 * U * len(G) ** 0.5 * size)


@pytest.mark.parametrize("share", [1 / 4, 1e-300])  # |1 - A / scale| reaches 3, or overflows
def test_a_scale_too_small_is_refused_with_the_one_to_use(share):
    problem = small()
    largest = float(torch.linalg.eigvalsh(matrix(problem))[-1])
    curvature = lissa(problem, depth=30, scale=share * largest)
    stable = curvature.stable_scale(DAMPING)
    with pytest.raises(ri.NotConverged, match=f"diverges: .* Use a scale of {stable:.3g}"):
        curvature.solve(vectors(problem, 2), DAMPING)
    lissa(problem, depth=30, scale=stable).solve(vectors(problem, 2), DAMPING)


def test_an_answer_that_missed_its_tolerance_is_not_returned_as_an_influence():
    problem = small()
    queries = problem.inputs, problem.targets
    short = lissa(problem, depth=3, tolerance=1e-3)
    assert not bool(short.solve(problem.gradients(), DAMPING).certificate.converged.any())
    with pytest.raises(ri.NotConverged, match=r"tolerance 1.0e-03"):
        ri.influence(problem, *queries, curvature=short, damping=DAMPING)
    long = lissa(problem, depth=200, tolerance=1e-3)
    scores = ri.influence(problem, *queries, curvature=long, damping=DAMPING)
    exact = ri.exact.GaussNewton(problem)
    truth = ri.influence(problem, *queries, curvature=exact, damping=DAMPING)
    rate = (1 - DAMPING / long.stable_scale(DAMPING)) ** 201
    size = problem.gradients().norm(dim=1).max() ** 2 / DAMPING
    within((scores - truth).abs().max(), (rate + 1e6 * U) * size)


def test_the_largest_eigenvalue_is_found_without_the_matrix():
    g = torch.Generator().manual_seed(2)
    model = randomise(mlp([10, 20, 5], bias=True, activation="tanh"), g)  # P = 325, beyond 256
    x = torch.randn(9, 10, generator=g, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(9) % 5)
    curvature = lissa(problem)
    truth = float(torch.linalg.eigvalsh(ri.exact.gauss_newton_matrix(problem))[-1])
    low, high = curvature.spectrum()
    assert low == 0.0
    within(abs(high - truth), 1e-3 * truth)
    distance = (curvature.dense() - ri.exact.gauss_newton_matrix(problem)).norm()
    within(distance, 325**0.5 * rounding(problem))


def test_the_traces_are_summed_in_pieces_of_matrices(monkeypatch):
    problem = small(5)
    definition = ri.exact.definition
    J, H = definition.jacobian(problem), definition.output_hessian(problem)
    truth = torch.einsum("nip,nij,njp->n", J, H, J)
    monkeypatch.setattr(
        "refimpl.fast.lissa.gradient_matrices_in_pieces",
        lambda g, a: (gradient_matrices(g[:, [n]], a[[n]]) for n in range(len(a))),
    )
    within((_traces(problem) - truth).abs().max(), 30 * U * float(truth.max()))


def test_passes_over_uneven_parts_of_the_data_add_up_to_the_mean(monkeypatch):
    problem = small(5)
    whole = lissa(problem).dense()
    monkeypatch.setattr(ri.Problem, "chunk", lambda self, examples: 2)
    within((lissa(problem).dense() - whole).norm(), problem.num_parameters**0.5 * rounding(problem))
