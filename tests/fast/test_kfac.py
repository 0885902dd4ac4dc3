"""K-FAC's factors against a loop over the definition, its exactness identities, its damping."""

import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import mlp, problems, randomise, vectors

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def factors_by_loop(problem: ri.Problem, sharing: str):
    """A and S of an MLP's layers by loops over examples, positions and output directions."""
    layers = [m for m in problem.model if isinstance(m, torch.nn.Linear)]
    A = {b.name: torch.zeros(b.inputs, b.inputs).double() for b in problem.layout.blocks}
    S = {b.name: torch.zeros(b.outputs, b.outputs).double() for b in problem.layout.blocks}
    rows = dict.fromkeys(A, 0)
    names = [b.name for b in problem.layout.blocks]
    for n in range(problem.num_examples):
        x, y = problem.inputs[n : n + 1], problem.targets[n : n + 1]
        ins, outs, h = [], [], x
        for module in problem.model:
            if isinstance(module, torch.nn.Linear):
                ins.append(h.detach())
                h = h.detach() @ module.weight.T if not outs else h @ module.weight.T
                h = h + (module.bias if module.bias is not None else 0)
                h.requires_grad_() if h.is_leaf else h.retain_grad()
                outs.append(h)
            else:
                h = module(h)
        H = problem.loss.hessian(h.detach(), y)[0]
        values, Q = torch.linalg.eigh(H)
        directions = (
            Q * values.clamp(min=0).sqrt()[..., None, :]
        )  # another root of H than the code's
        kept = problem.loss.counted(y)
        for name, layer, a, s in zip(names, layers, ins, outs, strict=True):
            a = a.reshape(-1, a.shape[-1])
            if layer.bias is not None:
                a = torch.cat([a, torch.ones(len(a), 1).double()], dim=1)
            keep = torch.ones(len(a), dtype=torch.bool) if kept is None else kept.reshape(-1)
            a = a[keep]
            if sharing == "reduce":
                a = a.mean(dim=0, keepdim=True) if len(a) else a
            A[name] += a.T @ a
            rows[name] += len(a)
            for t in range(H.shape[0]):
                for k in range(H.shape[-1]):
                    seed = torch.zeros_like(h).reshape(H.shape[0], -1)
                    seed[t] = directions[t, :, k]
                    (g,) = torch.autograd.grad(h, s, seed.reshape(h.shape), retain_graph=True)
                    g = g.reshape(-1, g.shape[-1])
                    g = g.sum(dim=0, keepdim=True) if sharing == "reduce" else g
                    S[name] += g.T @ g
    n = problem.num_examples
    return {name: (A[name] / max(rows[name], 1), S[name] / n) for name in A}


@given(
    problems(
        losses=("cross_entropy", "squared_error"),
        depth=(1, 3),
        width=(1, 4),
        examples=(1, 4),
        tokens=(0, 3),
        classes=(1, 3),
    ),
    st.sampled_from(["expand", "reduce"]),
)
def test_factors_equal_those_of_a_loop_over_the_definition(problem, sharing):
    factors = ri.fast.KFAC(problem, weight_sharing=sharing).factors
    for name, (A, S) in factors_by_loop(problem, sharing).items():
        # Componentwise (Higham & Mary 2019) with B_ij <= sqrt(A_ii A_jj) by Cauchy-Schwarz; the root of
        # H by an eigendecomposition has roundings of size u ||H||, whence the norm instead.
        count = problem.outputs().numel() + problem.num_examples
        for ours, truth in zip(factors[name], (A, S), strict=True):
            within((ours - truth).norm(), 30 * U * count * (truth.norm() + 1))


@given(problems(tokens=(0, 0), examples=(1, 1)))
def test_one_example_makes_kfac_exact(problem):
    _assert_blocks_equal(problem, ri.fast.KFAC(problem))


@given(problems(tokens=(0, 4), activations=("identity",), losses=("squared_error",), mixing=False))
def test_deep_linear_networks_with_squared_error_make_kfac_expand_exact(problem):
    _assert_blocks_equal(problem, ri.fast.KFAC(problem))


@given(problems(tokens=(0, 0), losses=("squared_error",)))
def test_the_last_layer_under_squared_error_is_exact(problem):
    last = problem.layout.blocks[-1]
    kfac = ri.fast.KFAC(problem)
    A, S = kfac.factors[last.name]
    assert torch.allclose(S, torch.eye(len(S)).double(), rtol=0, atol=10 * U)
    truth = ri.exact.gauss_newton_matrix(problem)[last.slice, last.slice]
    within((torch.kron(S, A) - truth).norm(), 100 * U * problem.num_examples * truth.norm())


def _assert_blocks_equal(problem: ri.Problem, curvature: ri.Curvature) -> None:
    G, approximate = ri.exact.gauss_newton_matrix(problem), curvature.dense()
    for block in problem.layout.blocks:
        truth = G[block.slice, block.slice]
        error = (approximate[block.slice, block.slice] - truth).norm()
        # Sums of at most N T C products, each a product of depth + 2 factors.
        within(error, 100 * U * problem.outputs().numel() * (truth.norm() + G.norm()))


@given(problems(), st.integers(1, 5), st.sampled_from(["exact", "sampled", "empirical"]))
def test_the_batch_size_changes_nothing(problem, batch_size, fisher):
    whole = ri.fast.KFAC(problem, fisher=fisher, samples=2).factors
    split = ri.fast.KFAC(problem, fisher=fisher, samples=2, batch_size=batch_size).factors
    for name in whole:
        for a, b in zip(whole[name], split[name], strict=True):
            # Sums of as many squares in another order, of rows with a few roundings each.
            within((a - b).norm(), 30 * U * problem.outputs().numel() ** 0.5 * a.norm())


@given(problems(options=False))
def test_the_empirical_fisher_is_that_of_the_datas_labels(problem):
    factors = ri.fast.KFAC(problem, fisher="empirical").factors
    last = problem.layout.blocks[-1].name
    gradient = problem.loss.gradient(problem.outputs(), problem.targets)
    rows = gradient.reshape(-1, factors[last][1].shape[0])
    truth = rows.T @ rows / problem.num_examples
    within((factors[last][1] - truth).norm(), 30 * U * len(rows) * (truth.norm() + U))


@given(problems(), st.sampled_from([1e-8, 1e-3, 1.0]), st.booleans())
def test_solves_invert_the_operator_declared(problem, damping, factored):
    curvature = ri.fast.KFAC(problem, factored_damping=factored)
    b = vectors(problem, 2)
    solution = curvature.solve(b, damping)
    assert bool(solution.certificate.converged.all())
    for block in problem.layout.blocks:
        A, S = curvature.factors[block.name]
        eye_a, eye_s = torch.eye(len(A)).double(), torch.eye(len(S)).double()
        if factored:
            ratio = (A.trace() / len(A)) / (S.trace() / len(S))
            pi = ratio.sqrt() if S.trace() > 0 and A.trace() > 0 else torch.ones(()).double()
            operator = torch.kron(S + damping**0.5 / pi * eye_s, A + pi * damping**0.5 * eye_a)
        else:
            operator = torch.kron(S, A) + damping * torch.kron(eye_s, eye_a)
        back = solution.value[:, block.slice] @ operator
        norm = torch.linalg.matrix_norm(operator, ord=2)
        scale = norm * solution.value[:, block.slice].norm(dim=1) + b[:, block.slice].norm(dim=1)
        error = (back - b[:, block.slice]).norm(dim=1)
        within(error, 10 * len(operator) ** 0.5 * U * 4 * scale)


def test_factored_damping_differs_from_exact_damping():
    problem = _one()
    b = vectors(problem, 1)
    exact = ri.fast.KFAC(problem).solve(b, 1e-2).value
    factored = ri.fast.KFAC(problem, factored_damping=True).solve(b, 1e-2).value
    assert (exact - factored).norm() > 1e-3 * exact.norm()


def test_sampled_factors_converge_as_the_inverse_root_of_the_samples():
    problem = _one(n=30)
    exact = ri.fast.KFAC(problem).factors
    counts, seeds = (4, 16, 64, 256), 24
    errors = []
    for samples in counts:
        squares = []
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(1000 * samples + seed)
            drawn = ri.fast.KFAC(problem, fisher="sampled", samples=samples, generator=generator)
            squares.append(
                sum(float((drawn.factors[k][1] - exact[k][1]).norm() ** 2) for k in exact)
            )
        errors.append((sum(squares) / seeds) ** 0.5)
    slope = torch.tensor(errors).log().diff() / torch.tensor(counts).double().log().diff()
    # The mean square over 24 seeds has a relative deviation of at most sqrt(2 / 24) per degree of
    # freedom; half of it on the log scale, over three octave pairs: 0.5 * 0.29 * sqrt(2) / 4.16 = 0.05
    # on the slope over the whole range. Five deviations.
    whole = (torch.tensor(errors[-1]) / errors[0]).log() / torch.tensor(64.0).log()
    assert abs(float(whole) + 0.5) < 0.25, slope


def test_the_default_draws_are_the_same_every_time_and_another_generator_gives_others():
    problem = _one()
    first, second = (ri.fast.KFAC(problem, fisher="sampled").factors for _ in range(2))
    other = ri.fast.KFAC(
        problem, fisher="sampled", generator=torch.Generator().manual_seed(7)
    ).factors
    for name in first:
        assert torch.equal(first[name][1], second[name][1])
        assert not torch.equal(first[name][1], other[name][1])


def test_unknown_options_are_refused():
    for options in ({"fisher": "true"}, {"weight_sharing": "both"}, {"samples": 0}):
        with pytest.raises((ValueError, TypeError), match=next(iter(options))):
            ri.fast.KFAC(_one(), **options)


def _one(n: int = 12) -> ri.Problem:
    generator = torch.Generator().manual_seed(2)
    model = randomise(mlp([4, 5, 3], bias=True, activation="tanh"), generator)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(n) % 3)


@given(problems(width=(1, 5)), st.sampled_from([1e-3, 0.04, 9.0]))
def test_factored_damping_is_split_by_the_factors_mean_eigenvalues(problem, damping):
    # Martens & Grosse 2015, section 6.3: (S + sqrt(lambda) / pi I) (x) (A + pi sqrt(lambda) I), with
    # pi^2 the mean eigenvalue of A over that of S, or 1 where one of them is zero.
    kfac = ri.fast.KFAC(problem, factored_damping=True)
    b = vectors(problem, 2)
    solved = kfac.solve(b, damping).value
    for block in problem.layout.blocks:
        A, S = kfac.factors[block.name]
        means = float(A.trace()) / len(A), float(S.trace()) / len(S)
        pi = (means[0] / means[1]) ** 0.5 if min(means) > 0 else 1.0
        left = S + damping**0.5 / pi * torch.eye(len(S)).double()
        right = A + damping**0.5 * pi * torch.eye(len(A)).double()
        operator = torch.kron(left, right)
        truth = torch.linalg.solve(operator, b[:, block.slice].T).T
        kappa = float(torch.linalg.cond(operator))
        error = (solved[:, block.slice] - truth).norm()
        within(error, 100 * U * len(operator) * kappa * truth.norm(), block.name)
