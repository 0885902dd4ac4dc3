"""Relations between an implementation's own answers as checks, one for every stage that has them."""

from collections.abc import Callable

from refimpl.oracle.checks import relations
from refimpl.oracle.checks.check import Check, labels_known
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial

__all__ = ["CHECKS"]

Relation = Callable[[Trial, str], float]


def _not_empirical(trial: Trial) -> bool:
    return trial.conventions.fisher != "empirical"


def _always(trial: Trial) -> bool:
    return True


OWN = (
    "u times twice the scale of the answer itself, of its check in the family stages: there are two"
)


def _checks(
    slug: str,
    stages: tuple[str, ...],
    relation: Relation,
    statement: str,
    equation: str,
    source: str,
    applies: Callable[[Trial], bool] = labels_known,
    scale: str = OWN,
) -> list[Check]:
    """One check for each of the stages, all of one relation."""

    def measure(stage: str) -> Callable[[Trial, Mode], float]:
        return lambda trial, mode: relation(trial, stage)

    return [
        Check(
            f"{stage.replace('_', '-')}-{slug}",
            "metamorphic",
            stage,
            statement.format(STAGES[stage].plural),
            equation,
            source,
            scale,
            measure(stage),
            applies,
        )
        for stage in stages
    ]


OF_DATA = ("factors", "eigenvalues", "gauss_newton", "scores")
ALL = ("gradients", *OF_DATA)
MEAN = "Martens & Grosse 2015, section 2.1: sums over examples"
LAW = "Grosse et al. 2023, section 2.2: expectation over the model's own labels"

HOMOGENEOUS = (
    "Four times the loss has four times the {} (with four times the damping; squares of data's "
    "gradients sixteen times).",
    "S(c l) = c S(l), score(c l, c lambda) = c score(l, lambda)",
    "homogeneity in the loss",
)
APART = (
    "The {} of an example asked about alone are those that it has among others.",
    "answer(one row) = its row of answer(all)",
    "docs/conventions.md: examples do not interact",
)

CHECKS: tuple[Check, ...] = (
    *_checks(
        "batch-size",
        ALL,
        relations.batch_size,
        "The {} do not depend on how many examples a batch has.",
        "answer(batch size b) = answer(1) = answer(N)",
        MEAN,
    ),
    *_checks(
        "order",
        ALL,
        relations.order,
        "Reordering the training data reorders the {} or leaves them as they are.",
        "answer(data in another order) = answer(data), reordered",
        MEAN,
    ),
    *_checks(
        "repeat",
        (*ALL[:2], "eigenbasis", "eigenvalues", "gauss_newton", "solve", "scores"),
        relations.repeat,
        "The same question about the {}, after another case was asked about, has the same answer.",
        "answer = answer, at the same seed",
        "the adapter's contract: nothing depends on an earlier call",
        _always,
    ),
    *_checks(
        "duplicated",
        OF_DATA,
        relations.duplicated,
        "With every training example twice the {} are the same.",
        "mean over data and data = mean over data",
        MEAN,
    ),
    *_checks(
        "padding",
        ALL,
        relations.padding,
        "What stands at ignored tokens does not matter to the {}.",
        "answer(other padding) = answer",
        "docs/conventions.md: ignored tokens count nothing anywhere",
    ),
    *_checks(
        "labels-blind",
        ("factors", "eigenvalues", "gauss_newton"),
        relations.blind,
        "The {} of the true Fisher do not see the labels of the data.",
        "answer(other labels) = answer, at the same seed",
        LAW,
        _not_empirical,
    ),
    *_checks("loss-scaled", ALL[:1], relations.loss_scaled, *HOMOGENEOUS),
    *_checks("loss-scaled", ALL[1:2], relations.product_scaled, *HOMOGENEOUS),
    *_checks("loss-scaled", ALL[2:], relations.loss_scaled, *HOMOGENEOUS),
    *_checks(
        "precision",
        ("gradients", "factors", "scores"),
        relations.precision,
        "In float32 the {} are those of float64, to float32's rounding.",
        "|answer_32 - answer_64| <= 30 u_32 scale",
        "Higham 2002, section 1.6: backward stability",
        lambda trial: trial.labels_known and trial.conventions.dtype == "float64",
    ),
    *_checks("alone", ("gradients",), relations.example_alone, *APART),
    *_checks("alone", ("scores",), relations.query_alone, *APART),
    *_checks(
        "tokens-add",
        ("gradients",),
        relations.tokens_add,
        "The {} of the examples are the sums of those of their tokens.",
        "grad l_n = sum_t grad l_nt",
        "docs/conventions.md: the example loss is a sum over tokens",
        lambda trial: trial.conventions.loss_reduction == "sum",
    ),
    *_checks(
        "symmetric",
        ("scores",),
        relations.symmetric,
        "The {} of the training data on themselves are symmetric.",
        "grad l_m^T H^-1 grad l_n = grad l_n^T H^-1 grad l_m",
        "Koh & Liang 2017, eq. 2",
    ),
    *_checks(
        "own-influence",
        ("scores",),
        relations.own_influence,
        "No example harms itself: the {} of examples on their own loss have the declared sign.",
        "-grad l_n^T H^-1 grad l_n <= 0",
        "Koh & Liang 2017, section 2.1",
    ),
    *_checks(
        "large-damping",
        ("scores",),
        relations.large_damping,
        "As the damping grows the {} become products of gradients.",
        "lambda score -> -grad l_q^T grad l_n, at lambda = ||H|| / sqrt(u)",
        "Neumann series",
        lambda trial: trial.conventions.damping == "absolute",
        "sqrt(u) ||grad l_q|| ||grad l_n||: the first neglected term",
    ),
)
