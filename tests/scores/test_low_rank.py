"""Query batching in low rank: whole at full rank, and below it what the matrices it keeps give."""

import pytest
import torch
from models import CASES

import refimpl as ri
from refimpl.scores.examples import scores_of
from refimpl.scores.low_rank import low_rank_scores, reduce_rank

U = 2.0**-53


def problem_of(case: str) -> ri.Problem:
    model, shape = CASES[case]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, *shape, generator=generator, dtype=torch.float64)
    y = torch.randn(model.double()(x).shape, generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.SquaredError(), x, y)


def vectors_of(problem: ri.Problem) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, problem.num_parameters, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rank", [1, 2, 50])
def test_scores_are_those_of_the_matrices_kept_within_the_bound(case: str, rank: int) -> None:
    problem = problem_of(case)
    vectors = vectors_of(problem)
    queries = reduce_rank(problem, vectors, rank)
    kept = problem.layout.flatten({n: L @ R.mT for n, (L, R) in queries.factors.items()})
    found = low_rank_scores(problem, queries)
    gradients = problem.gradients().norm(dim=1)
    # Sums of P products and the two factors' own roundings, sqrt(P) u of either vector's length.
    rounding = 20 * U * problem.num_parameters**0.5 * torch.outer(vectors.norm(dim=1), gradients)
    assert bool(((found - scores_of(problem, kept)).abs() <= rounding).all())
    torch.testing.assert_close(
        queries.error, (vectors - kept).norm(dim=1), rtol=1e-7, atol=20 * U * float(vectors.norm())
    )
    moved = (found - scores_of(problem, vectors)).abs()
    assert bool((moved <= queries.error[:, None] * gradients + rounding).all())
    if rank == 50:
        assert float(queries.error.max()) == 0.0


def test_no_other_matrix_of_that_rank_is_nearer() -> None:
    problem = problem_of("module called twice")
    vectors = vectors_of(problem)
    for name, V in problem.layout.matrices(vectors).items():
        L, R = reduce_rank(problem, vectors, 1).factors[name]
        values = torch.linalg.svdvals(V)
        lost = (V - L @ R.mT).square().sum(dim=(1, 2)).sqrt()
        torch.testing.assert_close(lost, values[:, 1:].norm(dim=1), rtol=1e-10, atol=1e-14)


def test_candidates_are_scored_alone() -> None:
    problem = problem_of("tokens folded into the batch")
    queries = reduce_rank(problem, vectors_of(problem), 2)
    chosen = torch.tensor([5, 0])
    torch.testing.assert_close(
        low_rank_scores(problem, queries, chosen), low_rank_scores(problem, queries)[:, chosen]
    )
    with pytest.raises(ValueError, match="candidates must be indices of the 7"):
        low_rank_scores(problem, queries, torch.tensor([7]))


def test_a_rank_below_one_is_refused() -> None:
    problem = problem_of("a Linear alone")
    with pytest.raises(ValueError, match="rank must be >= 1, got 0"):
        reduce_rank(problem, vectors_of(problem), 0)
