"""How each rung is fitted to a problem, in groups that share what they are fitted from."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl import exact, fast
from refimpl.curvature.curvature import Curvature
from refimpl.curvature.dense import Dense
from refimpl.problem import memory
from refimpl.problem.problem import Problem
from refimpl.rows.sweeps import sweeps_over
from refimpl.rungs.curvatures import APART, BLOCKS, SAMPLES, WIDER, sampled

__all__ = ["FITS", "Fit", "Precomputed", "has_tokens", "wider"]


@dataclass(frozen=True)
class Precomputed:
    """What fits may use beside the problem, so that nothing is computed twice.

    Args:
        seed: Of the sampled labels.
        matrix: The exact GNH [P, P], where it was formed; without it the rungs that need it form it.
        ekfac: The EK-FAC with the exact Fisher, likewise.
    """

    seed: int = 0
    matrix: Float[Tensor, "P P"] | None = None
    ekfac: fast.EKFAC | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted rung.

    Args:
        name: Its name, as in `refimpl.rungs.curvatures.RUNGS`.
        curvature: The fitted matrix; any `Curvature` will do.
        problem: The problem that it was fitted to, which differs only where it tracks more layers.
        shown: Whether it is compared itself; otherwise it is only the upper end of some steps.
    """

    name: str
    curvature: Curvature
    problem: Problem
    shown: bool = True


def wider(problem: Problem) -> Problem | None:
    """The problem with all layers tracked; None where it tracks them already, or some cannot be.

    Args:
        problem: A problem that may track some layers only.
    """
    try:
        whole = Problem(
            problem.model, problem.loss, problem.inputs, problem.targets, dtype=problem.dtype
        )
    except ValueError:  # a tied or unsupported layer, which this problem had left out
        return None
    return None if whole.num_parameters == problem.num_parameters else whole


def _wider(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    del precomputed
    if (whole := wider(problem)) is not None:
        yield Fit(WIDER, exact.GaussNewton(whole), whole)


def _kronecker(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    sizes = [block.outputs * block.inputs for block in problem.layout.blocks]
    if precomputed.matrix is None and sum(size**2 for size in sizes) <= memory.LAYER_BLOCKS:
        yield Fit(BLOCKS, fast.BlockDiagonal(problem), problem)
    elif precomputed.matrix is not None:
        parts = [precomputed.matrix[b.slice, b.slice] for b in problem.layout.blocks]
        yield Fit(BLOCKS, Dense(problem, parts), problem)
    kfac = fast.KFAC(problem)
    ekfac = fast.EKFAC(problem, factors=kfac.factors)
    yield Fit("EK-FAC", ekfac, problem)
    if has_tokens(problem):
        yield Fit(APART, _tokens_apart(problem, ekfac), problem)
    yield Fit("K-FAC", kfac, problem)
    yield Fit(
        "K-FAC, factored damping",
        fast.KFAC(problem, factored_damping=True, factors=kfac.factors),
        problem,
    )


def has_tokens(problem: Problem) -> bool:
    """Whether a class axis comes after axes of positions, so that losses are sums over tokens.

    Args:
        problem: The problem.
    """
    return problem.outputs(problem.examples_up_to(1)[0]).ndim > 2


def _tokens_apart(problem: Problem, ekfac: fast.EKFAC) -> fast.EKFAC:
    """The same bases, with each token's gradient squared before the sum over tokens."""
    total = {name: torch.zeros_like(L) for name, (_, _, L) in ekfac.eigen.items()}
    for sweep in sweeps_over(problem):
        for name, (Q_A, Q_S, _) in ekfac.eigen.items():
            g = ((sweep.gradients[name] @ Q_S) ** 2).sum(dim=0).flatten(0, 1)
            total[name] += g.T @ (sweep.inputs[name] @ Q_A).flatten(0, 1) ** 2
    apart = copy.copy(ekfac)
    apart.eigen = {
        name: (Q_A, Q_S, total[name] / problem.num_examples)
        for name, (Q_A, Q_S, _) in ekfac.eigen.items()
    }
    return apart


def _labels(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    yield Fit("EK-FAC", precomputed.ekfac or fast.EKFAC(problem), problem, shown=False)
    for k in SAMPLES:
        generator = torch.Generator().manual_seed(precomputed.seed)
        ekfac = fast.EKFAC(problem, fisher="sampled", samples=k, generator=generator)
        yield Fit(sampled(k), ekfac, problem)
    kfac = fast.KFAC(problem, fisher="empirical")
    ekfac = fast.EKFAC(problem, fisher="empirical", factors=kfac.factors)
    yield Fit("EK-FAC, empirical", ekfac, problem)
    yield Fit("K-FAC, empirical", kfac, problem)


def _empirical(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    del precomputed
    yield Fit("empirical Fisher", fast.EmpiricalFisher(problem), problem)


def _lissa(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    # The estimate is compared as it is used, after so many steps; its residual is on the page.
    lissa = fast.LiSSA(
        problem,
        depth=500,
        batch_size=min(32, problem.num_examples),
        generator=torch.Generator().manual_seed(precomputed.seed),
        tolerance=0.9,
        matrix=precomputed.matrix,
    )
    yield Fit("LiSSA", lissa, problem)


def _diagonal(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    diagonal = None if precomputed.matrix is None else precomputed.matrix.diagonal()
    yield Fit("diagonal GNH", fast.Diagonal(problem, diagonal=diagonal), problem)


def _identity(problem: Problem, precomputed: Precomputed) -> Iterator[Fit]:
    del precomputed
    yield Fit("identity", fast.Identity(problem), problem)


# Rungs by group; those of a group share what they are fitted from.
FITS: dict[str, Callable[[Problem, Precomputed], Iterator[Fit]]] = {
    "wider": _wider,
    "Kronecker": _kronecker,
    "labels": _labels,
    "empirical": _empirical,
    "LiSSA": _lissa,
    "diagonal": _diagonal,
    "identity": _identity,
}
