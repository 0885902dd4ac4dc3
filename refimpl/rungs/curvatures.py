"""The rungs: every curvature that is compared, from the full Hessian down, and the pairs of them."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "APART",
    "BLOCKS",
    "HEADLINE",
    "LADDER",
    "PAIRS",
    "RUNGS",
    "SAMPLES",
    "STEPS",
    "TOP",
    "TRUTH",
    "WIDER",
    "Rung",
    "rungs_of",
    "sampled",
]

TOP = "full Hessian"
WIDER = "GNH of all layers"
TRUTH = "exact GNH"
BLOCKS = "block-diagonal GNH"
HEADLINE = "EK-FAC"
APART = "EK-FAC, tokens squared apart"

SAMPLES = (100, 10, 1)  # labels per output


@dataclass(frozen=True)
class Rung:
    """A curvature of the tables.

    Args:
        name: Its name on pages and in saved results.
        family: What its colour stands for.
        description: What it is, in a line.
        group: What is fitted together with it: a key of `refimpl.rungs.fits.FITS`, or "exact".
        plotted: Whether drawings show it.
    """

    name: str
    family: str
    description: str
    group: str
    plotted: bool = True


def sampled(k: int) -> str:
    """The name of EK-FAC with k labels drawn for each output."""
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
            sampled(k),
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
    *(("EK-FAC", sampled(k)) for k in SAMPLES),
    ("EK-FAC", "EK-FAC, empirical"),
)
# Paired comparisons: (lower rung, upper rung), then each variant and its original.
PAIRS = (
    *((lower, upper) for upper, lower in zip(LADDER[1:], LADDER[2:], strict=False)),
    (APART, "EK-FAC"),
    (sampled(1), "EK-FAC"),
    ("EK-FAC, empirical", "EK-FAC"),
    ("EK-FAC", "LiSSA"),
    ("EK-FAC", "identity"),
)


def rungs_of(groups: Sequence[str], measured: Sequence[str] | None = None) -> list[Rung]:
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
