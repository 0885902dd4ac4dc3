"""The exactness identities of the field, by number, and what the tests that bear a number measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from validation.trust.levels import Test

__all__ = ["IDENTITIES", "Identity", "missing", "numbers", "table"]


@dataclass(frozen=True)
class Identity:
    """One identity.

    Args:
        number: What a test's name begins with, "test_17_".
        statement: What holds.
        assumptions: Where it does.
    """

    number: int
    statement: str
    assumptions: str


ALWAYS = "always"
ROWS = (
    ("K-FAC = GNH block", "one example, no weight sharing"),
    ("K-FAC = GNH block", "deep linear network, squared error"),
    ("K-FAC-expand = GNH block", "as 2 with tokens that do not mix, loss summed over them"),
    ("K-FAC-reduce = GNH block", "as 2 with tokens averaged or summed before the loss"),
    ("K-FAC = GNH block, A ⊗ I", "last layer, squared error, any network below"),
    ("ΣΛ = trace of the GNH block", "always, in any orthonormal basis"),
    ("EK-FAC is the nearest of all diagonals in its basis, K-FAC among them", ALWAYS),
    ("EK-FAC = K-FAC = GNH block", "wherever 1–5 hold"),
    ("GNH = Fisher", "softmax and logit cross-entropy, ½ squared error"),
    ("GNH = Hessian", "outputs linear in the tracked parameters"),
    ("GNH block = Hessian block", "piecewise linear activations, no weight sharing"),
    ("rank G ≤ N·(C − 1) for a softmax, N·C otherwise; H_n 1 = 0", ALWAYS),
    ("(G + λI)⁻¹ by the kernel = by the matrix", "λ > 0"),
    ("G, A, S, Λ do not see repetition, order or batches", ALWAYS),
    ("loss × c and λ × c: scores × c", ALWAYS),
    ("λ · scores → products of gradients, off by at most ‖G‖/λ", ALWAYS),
    (
        "the undamped K-FAC step does not see affine maps of a layer's inputs or outputs",
        "exact Fisher, factors of full rank",
    ),
    (
        "dθ/dε of the PBO's minimiser is −(G + λI)⁻¹∇ℓ; its error O(ε), of central differences O(ε²)",
        "smooth activations",
    ),
    ("PBRF = its influence prediction for every ε", "linear model, squared error"),
    (
        "scores of the training examples are symmetric, self-influence has one sign",
        "measurement = loss",
    ),
    ("a sequence's influence is the sum of its tokens'; padding changes nothing", "additive loss"),
    ("Λ before and after the sum over tokens coincide", "tokens that do not mix; else they differ"),
    (
        "EK-FAC has A and S only through their eigenvectors, and is not unique where eigenvalues repeat",
        ALWAYS,
    ),
    ("K-FAC = GNH block", "all examples identical, no weight sharing"),
    ("expand = reduce", "one token"),
    ("‖G − EK-FAC‖² = ‖G‖² − ‖EK-FAC‖², Λ = diag(QᵀGQ)", "block by block, exact Fisher"),
    (
        "softmax H = RRᵀ; rows of the last S sum to 0, its trace is mean(1 − Σp²)",
        "cross-entropy, plain",
    ),
    ("the last entry of A is 1, its last column the mean input", "bias, one token"),
    ("the expectation of sampled A, S, Λ over all labels is the exact one", "labels enumerated"),
)
IDENTITIES = tuple(Identity(number, *row) for number, row in enumerate(ROWS, start=1))


def numbers(test: str) -> list[int]:
    """The identities that a test's name bears.

    Args:
        test: "tests/x.py::test_5_and_8_last_layer", or the name alone.
    """
    named = re.match(r"test_(\d+(?:_and_\d+)*)_", test.rsplit("::", 1)[-1])
    return [int(n) for n in named[1].split("_and_")] if named else []


def table(tests: Sequence[Test]) -> list[dict[str, Any]]:
    """Every identity with its tests' outcome, random examples and largest ratio.

    Args:
        tests: What a run measured.
    """
    rows: list[dict[str, Any]] = []
    for identity in IDENTITIES:
        shown_by = [t for t in tests if identity.number in numbers(t.name)]
        ratios = [t.ratio for t in shown_by if t.ratio is not None]
        rows.append(
            {
                "number": identity.number,
                "statement": identity.statement,
                "assumptions": identity.assumptions,
                "tests": [t.name for t in shown_by],
                "green": bool(shown_by) and all(t.outcome == "passed" for t in shown_by),
                "examples": sum(t.examples for t in shown_by),
                # NaN is worse than any number
                "ratio": max(ratios, key=lambda r: (r != r, r)) if ratios else None,
            }
        )
    return rows


def missing(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Numbers of the identities that no test showed, or a test denied.

    Args:
        rows: From `table`.
    """
    return [row["number"] for row in rows if not row["green"]]
