"""Quantities of a problem that most conventions leave as they are: computed once for each problem."""

from functools import lru_cache

import torch
from jaxtyping import Float

from refimpl import exact
from refimpl.oracle.question.case import ContentKey
from refimpl.problem.problem import Problem

__all__ = ["bregman_response", "gauss_newton", "query_gradients", "training_gradients"]


@lru_cache(maxsize=512)
def training_gradients(problem: Problem) -> Float[torch.Tensor, "N P"]:
    """Gradients of the training examples' losses."""
    return problem.gradients()


@lru_cache(maxsize=512)
def query_gradients(problem: Problem, queries: ContentKey) -> Float[torch.Tensor, "Q P"]:
    """Gradients of the queries' losses.

    Args:
        problem: The model and its loss.
        queries: Key of the case whose queries are taken.
    """
    return problem.gradients(*queries.case.queries().tensors)


@lru_cache(maxsize=256)
def gauss_newton(problem: Problem) -> Float[torch.Tensor, "P P"]:
    """The undamped Gauss-Newton Hessian."""
    return exact.GaussNewton(problem, method="primal").dense()


@lru_cache(maxsize=256)
def bregman_response(
    problem: Problem, example: int, epsilon: float, damping: float
) -> exact.Response:
    """The minimiser of the proximal Bregman objective, with its certificate.

    Args:
        problem: The model, its data and its loss.
        example: Index of the training example.
        epsilon: Its weight.
        damping: Weight lambda > 0 of the proximity term.
    """
    return exact.bregman_response(
        problem, [example], epsilon=epsilon, damping=damping, tolerance=1e-10
    )
