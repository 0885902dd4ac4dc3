"""EK-FAC's eigenvalues: trace, projection, tokens, and what their basis decides (6, 7, 22, 23, 26)."""

import torch
from evidence import within
from hypothesis import assume, given, strategies as st
from strategies import SMOOTH, TokenMixing, problems, randomise, rounding_of, scale_of
from torch import nn

import refimpl as ri
from refimpl.fast.ekfac import corrected_eigenvalues
from refimpl.rows.sweeps import sweeps_over

U = torch.finfo(torch.float64).eps / 2


@given(problems(), st.integers(0, 2**31 - 1))
def test_6_eigenvalues_sum_to_the_trace_in_any_orthonormal_basis(problem, seed):
    G = ri.exact.gauss_newton_matrix(problem)
    own = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in ri.fast.EKFAC(problem).eigen.items()}
    generator = torch.Generator().manual_seed(seed)
    other = {
        name: tuple(_orthonormal(len(Q), generator) for Q in pair) for name, pair in own.items()
    }
    for basis in (own, other):
        for name, eigenvalues in corrected_eigenvalues(problem, basis).items():
            trace = G[_slice(problem, name), _slice(problem, name)].trace()
            within(abs(eigenvalues.sum() - trace), rounding_of(problem))


@given(problems(), st.integers(0, 2**31 - 1))
def test_7_no_diagonal_in_the_basis_is_nearer_to_the_block(problem, seed):
    ekfac, kfac = ri.fast.EKFAC(problem), ri.fast.KFAC(problem).dense()
    G, E = ri.exact.gauss_newton_matrix(problem), ekfac.dense()
    generator = torch.Generator().manual_seed(seed)
    for name, (Q_A, Q_S, eigenvalues) in ekfac.eigen.items():
        at = _slice(problem, name)
        noise = torch.randn(eigenvalues.shape, generator=generator, dtype=torch.float64)
        Q = torch.kron(Q_S, Q_A)
        drawn = (Q * (eigenvalues * (1 + noise)).flatten()) @ Q.T
        nearest = (G[at, at] - E[at, at]).norm()
        for rival, what in ((kfac[at, at], "K-FAC"), (drawn, "a diagonal drawn at random")):
            within(nearest - (G[at, at] - rival).norm(), rounding_of(problem), what)


@given(problems())
def test_26_ekfac_is_the_orthogonal_projection_of_the_block(problem):
    ekfac = ri.fast.EKFAC(problem)
    G, E = ri.exact.gauss_newton_matrix(problem), ekfac.dense()
    rounding = rounding_of(problem)
    for name, (Q_A, Q_S, eigenvalues) in ekfac.eigen.items():
        g, e = (M[_slice(problem, name), _slice(problem, name)] for M in (G, E))
        Q = torch.kron(Q_S, Q_A)
        diagonal = (Q.T @ g @ Q).diagonal().reshape(eigenvalues.shape)
        within((eigenvalues - diagonal).norm(), rounding, "Λ = diag(QᵀGQ)")
        # ||G - E||^2 = ||G||^2 - ||E||^2 (George et al. 2018): each norm is off by its matrix's roundings
        pythagoras = (g - e).norm() ** 2 - g.norm() ** 2 + e.norm() ** 2
        size = (g - e).norm() + g.norm() + e.norm()
        within(abs(pythagoras), 2 * rounding * (size + rounding), "Pythagoras")


@given(problems(tokens=(2, 4), mixing=False, losses=("cross_entropy",), ignored=False))
def test_22_tokens_that_do_not_mix_give_the_same_eigenvalues_before_and_after_the_sum(problem):
    # Labels of tokens are independent given the outputs, so the cross terms vanish in expectation.
    ekfac = ri.fast.EKFAC(problem)
    t, inputs = problem.inputs.shape[1], problem.inputs.flatten(0, 1)
    targets = problem.targets.flatten()
    apart = ri.Problem(problem.model, problem.loss, inputs, targets)
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in ekfac.eigen.items()}
    single = corrected_eigenvalues(apart, basis)
    for name, (_, _, eigenvalues) in ekfac.eigen.items():
        error = (t * single[name] - eigenvalues).norm()
        within(error, 1e3 * U * scale_of(problem))


def test_22_tokens_that_mix_differ():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), TokenMixing(), nn.Linear(3, 2))
    randomise(model, generator)
    x = torch.randn(5, 4, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (5, 4), generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    Q_A, Q_S, after = ri.fast.EKFAC(problem).eigen["0"]
    before = torch.zeros_like(after)
    for sweep in sweeps_over(problem):
        g, a = sweep.gradients["0"] @ Q_S, sweep.inputs["0"] @ Q_A
        before += torch.einsum("knro,nri->oi", g**2, a**2) / 5
    assert (before - after).norm() > 0.1 * after.norm()


@given(problems(activations=SMOOTH), st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_23_ekfac_sees_the_factors_only_through_their_eigenvectors(problem, c, d):
    ekfac = ri.fast.EKFAC(problem)
    basis, gap = {}, 1.0
    for name, (A, S) in ekfac.factors.items():
        # other eigenvalues, the same eigenvectors: any increasing function of the factor
        moved = c * A + A @ A / (1 + A.norm()), d * S
        basis[name] = tuple(torch.linalg.eigh(M).eigenvectors for M in moved)
        for M in (A, S):
            if len(M) > 1:
                gap = min(gap, float(torch.linalg.eigvalsh(M).diff().min() / (M.norm() + U)))
    assume(gap > 1e-3)
    other = corrected_eigenvalues(problem, basis)
    for name, (_, _, eigenvalues) in ekfac.eigen.items():
        # Davis-Kahan: eigenvectors of a matrix that is 10 d u ||A|| off turn by 10 d u / gap, d <= 13
        # being its size, and the eigenvalues are quadratic in them.
        within((other[name] - eigenvalues).norm(), 500 * U / gap * scale_of(problem))


def test_23_two_bases_of_a_repeated_eigenvalue_give_two_answers():
    # Whitened inputs: A is the identity, and any orthonormal basis is one of its eigenvectors.
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    x = 40**0.5 * torch.linalg.qr(x).Q
    model = randomise(nn.Linear(3, 3, bias=False), generator)
    y = torch.randint(3, (40,), generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    ekfac = ri.fast.EKFAC(problem)
    Q_A, Q_S, eigenvalues = ekfac.eigen[problem.layout.blocks[0].name]
    A, _ = ekfac.factors[problem.layout.blocks[0].name]
    within((A - torch.eye(3).double()).norm(), 100 * U)
    basis = {problem.layout.blocks[0].name: (_orthonormal(3, generator), Q_S)}
    (other,) = corrected_eigenvalues(problem, basis).values()
    within(abs(other.sum() - eigenvalues.sum()), 1e3 * U * eigenvalues.sum())

    def solved(Q_A, values):
        v = problem.gradients()[0].reshape(3, 3)
        return Q_S @ ((Q_S.T @ v @ Q_A) / (values + 0.1 * values.mean())) @ Q_A.T

    first = solved(Q_A, eigenvalues)
    second = solved(next(iter(basis.values()))[0], other)
    assert (first - second).norm() > 0.01 * first.norm()  # valid both, and not the same


def _slice(problem: ri.Problem, name: str) -> slice:
    return next(b.slice for b in problem.layout.blocks if b.name == name)


def _orthonormal(size: int, generator: torch.Generator) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
