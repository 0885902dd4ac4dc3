"""The rungs: every curvature that is compared, from the full Hessian down, and how each is fitted."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl import exact, fast
from refimpl.curvature.curvature import Curvature
from refimpl.curvature.dense import Dense
from refimpl.problem.problem import Problem
from refimpl.rows.sweeps import sweeps

__all__ = [
    "APART",
    "FITS",
    "HEADLINE",
    "LADDER",
    "PAIRS",
    "STEPS",
    "TOP",
    "TRUTH",
    "WIDER",
    "Fit",
    "Known",
    "Rung",
    "rungs",
    "wider",
]

TOP = "full Hessian"
WIDER = "GNH of all layers"
TRUTH = "exact GNH"
BLOCKS = "block-diagonal GNH"
HEADLINE = "EK-FAC"
APART = "EK-FAC, tokens squared apart"

SAMPLES = (100, 10, 1)  # labels per output
LARGEST = 2**28  # numbers of the layer blocks; where they hold more, that rung is left out


@dataclass(frozen=True)
class Rung:
    """A curvature of the tables; the family is what its colour stands for."""

    name: str
    family: str
    description: str
    group: str
    plotted: bool = True


def _sampled(k: int) -> str:
    return f"EK-FAC, {k} sample{'s' if k > 1 else ''}"


RUNGS = (
    Rung(TOP, TRUTH, "second derivatives of the loss, indefinite", "exact"),
    Rung(WIDER, TRUTH, "the layers that are not tracked count as well", "wider"),
    Rung(TRUTH, TRUTH, "the whole matrix of the tracked layers, no approximation", "exact"),
    Rung(BLOCKS, BLOCKS, "its exact layer blocks; layers do not interact", "Kronecker"),
    Rung("EK-FAC", "EK-FAC", "K-FAC's eigenvectors, eigenvalues corrected", "Kronecker"),
    Rung(APART, "EK-FAC", "its eigenvalues as if tokens were independent examples", "Kronecker"),
    Rung("K-FAC", "K-FAC", "a Kronecker product per layer, damped by λI", "Kronecker"),
    Rung(
        "K-FAC, factored damping", "K-FAC", "damping split between the two factors (π)", "Kronecker"
    ),
    *(
        Rung(
            _sampled(k),
            "EK-FAC",
            f"{k} sampled label{'s' if k > 1 else ''} per output",
            "labels",
            k == 1,
        )
        for k in SAMPLES
    ),
    Rung("EK-FAC, empirical", "EK-FAC", "the data's labels in place of the model's", "labels"),
    Rung("K-FAC, empirical", "K-FAC", "the data's labels in place of the model's", "labels"),
    Rung(
        "empirical Fisher",
        "empirical Fisher",
        "second moment of the loss gradients, whole matrix",
        "empirical",
    ),
    Rung(
        "LiSSA",
        "LiSSA",
        "truncated Neumann series of minibatches; a product, not a matrix",
        "LiSSA",
    ),
    Rung("diagonal GNH", "diagonal", "the diagonal of the exact matrix", "diagonal"),
    Rung("identity", "diagonal", "dot product of gradients", "identity"),
)
LADDER = (TRUTH, BLOCKS, "EK-FAC", "K-FAC", "K-FAC, factored damping")
# What each approximation adds to the one before: (upper, lower), in the order of the page.
STEPS = (
    (TOP, TRUTH),
    (WIDER, TRUTH),
    *zip(LADDER, LADDER[1:], strict=False),
    ("EK-FAC", APART),
    *(("EK-FAC", _sampled(k)) for k in SAMPLES),
    ("EK-FAC", "EK-FAC, empirical"),
)
# Paired comparisons: (lower rung, upper rung), then each variant and its original.
PAIRS = (
    *((lower, upper) for upper, lower in zip(LADDER[1:], LADDER[2:], strict=False)),
    (APART, "EK-FAC"),
    (_sampled(1), "EK-FAC"),
    ("EK-FAC, empirical", "EK-FAC"),
    ("EK-FAC", "LiSSA"),
    ("EK-FAC", "identity"),
)


@dataclass(frozen=True)
class Known:
    """What fits may use beside the problem.

    Args:
        seed: Of the sampled labels.
        matrix: The exact GNH, where it was formed; otherwise what needs it makes it again.
        ekfac: The EK-FAC with the exact Fisher, likewise.
    """

    seed: int = 0
    matrix: Float[Tensor, "P P"] | None = None
    ekfac: fast.EKFAC | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted rung.

    Args:
        name: Its name.
        curvature: Its matrix.
        problem: Another one than asked for only where it tracks more layers.
        shown: Whether it is compared here, not only what the steps from it start at.
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


def _wider(problem: Problem, known: Known) -> Iterator[Fit]:
    del known
    if (whole := wider(problem)) is not None:
        yield Fit(WIDER, exact.GaussNewton(whole), whole)


def _kronecker(problem: Problem, known: Known) -> Iterator[Fit]:
    sizes = [block.outputs * block.inputs for block in problem.layout.blocks]
    if known.matrix is None and sum(size**2 for size in sizes) <= LARGEST:
        yield Fit(BLOCKS, fast.BlockDiagonal(problem), problem)
    elif known.matrix is not None:
        parts = [known.matrix[b.slice, b.slice] for b in problem.layout.blocks]
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
    for sweep in sweeps(problem):
        for name, (Q_A, Q_S, _) in ekfac.eigen.items():
            g = ((sweep.gradients[name] @ Q_S) ** 2).sum(dim=0).flatten(0, 1)
            total[name] += g.T @ (sweep.inputs[name] @ Q_A).flatten(0, 1) ** 2
    apart = copy.copy(ekfac)
    apart.eigen = {
        name: (Q_A, Q_S, total[name] / problem.num_examples)
        for name, (Q_A, Q_S, _) in ekfac.eigen.items()
    }
    return apart


def _labels(problem: Problem, known: Known) -> Iterator[Fit]:
    yield Fit("EK-FAC", known.ekfac or fast.EKFAC(problem), problem, shown=False)
    for k in SAMPLES:
        generator = torch.Generator().manual_seed(known.seed)
        ekfac = fast.EKFAC(problem, fisher="sampled", samples=k, generator=generator)
        yield Fit(_sampled(k), ekfac, problem)
    kfac = fast.KFAC(problem, fisher="empirical")
    ekfac = fast.EKFAC(problem, fisher="empirical", factors=kfac.factors)
    yield Fit("EK-FAC, empirical", ekfac, problem)
    yield Fit("K-FAC, empirical", kfac, problem)


def _empirical(problem: Problem, known: Known) -> Iterator[Fit]:
    del known
    yield Fit("empirical Fisher", fast.EmpiricalFisher(problem), problem)


def _lissa(problem: Problem, known: Known) -> Iterator[Fit]:
    # The estimate is compared as it is used, after so many steps; its residual is on the page.
    lissa = fast.LiSSA(
        problem,
        depth=500,
        batch_size=min(32, problem.num_examples),
        generator=torch.Generator().manual_seed(known.seed),
        tolerance=0.9,
        matrix=known.matrix,
    )
    yield Fit("LiSSA", lissa, problem)


def _diagonal(problem: Problem, known: Known) -> Iterator[Fit]:
    diagonal = None if known.matrix is None else known.matrix.diagonal()
    yield Fit("diagonal GNH", fast.Diagonal(problem, diagonal=diagonal), problem)


def _identity(problem: Problem, known: Known) -> Iterator[Fit]:
    del known
    yield Fit("identity", fast.Identity(problem), problem)


# What is fitted at one time.
FITS: dict[str, Callable[[Problem, Known], Iterator[Fit]]] = {
    "wider": _wider,
    "Kronecker": _kronecker,
    "labels": _labels,
    "empirical": _empirical,
    "LiSSA": _lissa,
    "diagonal": _diagonal,
    "identity": _identity,
}


def rungs(groups: Sequence[str], measured: Sequence[str] | None = None) -> list[Rung]:
    """The rungs of some groups, the truth among them, in the order of the tables.

    Args:
        groups: Keys of `FITS`.
        measured: Names of those that were; default: all.
    """
    return [
        rung
        for rung in RUNGS
        if rung.group in ("exact", *groups) and (measured is None or rung.name in measured)
    ]
