"""Finding flipped labels: does an example's influence on its own loss give it away?

The use that Koh & Liang 2017 (section 5.4) have for self-influence: of the training examples a share
gets wrong labels, the model is trained on them, and each score ranks the examples by suspicion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int
from numpy import ndarray

import refimpl as ri
from refimpl.agreement.intervals import Interval
from refimpl.rungs.curvatures import PAIRS, TRUTH
from refimpl.rungs.fits import FITS, Fit, Precomputed
from validation.data import Split
from validation.parts.study import Config, Earlier, Part
from validation.training.recipes import Recipe, fitted

__all__ = [
    "FLIPPED",
    "LOSS",
    "Detection",
    "Measured",
    "detect",
    "find_flipped",
    "flip",
    "parts_of",
    "suspicion",
    "weighted",
]

FLIPPED = "flipped labels"
LOSS = "own loss"  # what needs no curvature
GROUPS = ("Kronecker", "empirical", "diagonal", "identity")

RESAMPLES = 2000


def flip(split: Split, classes: int, share: float, seed: int) -> tuple[Split, Bool[ndarray, " N"]]:
    """Give a share of the training examples another label, each other class as likely.

    Args:
        split: Data with one label an example; its queries stay as they are.
        classes: Number of classes C.
        share: Of the examples, rounded to a whole number of them.
        seed: Of the choice of examples and labels.

    Returns:
        The data with wrong labels, and which examples those are.

    Raises:
        ValueError: There is no other class, or the share does not leave both kinds.
    """
    count = len(split.targets)
    wrong = round(share * count)
    if classes < 2 or split.targets.numel() != count:
        raise ValueError(
            f"flipping needs two classes and one label an example, got {classes} classes and "
            f"targets {tuple(split.targets.shape)}"
        )
    if not 0 < wrong < count:
        raise ValueError(f"a share of {share} flips {wrong} of {count} labels: some, not all")
    random = np.random.RandomState(seed)
    chosen = random.permutation(count)[:wrong]
    targets = split.targets.clone()
    shift = split.targets.new_tensor(random.randint(1, classes, size=wrong))
    targets[chosen] = (targets[chosen] + shift.reshape(targets[chosen].shape)) % classes
    flipped = np.zeros(count, dtype=bool)
    flipped[chosen] = True
    return replace(split, targets=targets), flipped


def suspicion(problem: ri.Problem, curvature: ri.Curvature, damping: float) -> Float[ndarray, " N"]:
    """|self-influence| of every training example: how much its loss falls by its being there."""
    return ri.self_influence(problem, curvature=curvature, damping=damping).abs().numpy()


def parts_of(recipe: Recipe, config: Config) -> list[Part]:
    """The part that flips labels, trains, and looks for them.

    Args:
        recipe: How the model comes about.
        config: With "mislabelled": {"share", "classes"}; without it, nothing.
    """
    if "mislabelled" not in config:
        return []
    return [Part("mislabelled", partial(find_flipped, recipe))]


def find_flipped(recipe: Recipe, config: Config, earlier: Earlier) -> Any:
    """How well each rung's self-influence finds the flipped labels, at every damping."""
    del earlier
    share, classes = config["mislabelled"]["share"], config["mislabelled"]["classes"]
    split, flipped = flip(recipe.load(config), classes, share, config["seed"] + 3)
    problem, end = fitted(recipe, config, split)
    exact = ri.exact.GaussNewton(problem)
    precomputed = Precomputed(config["seed"], exact.dense() if exact.method == "primal" else None)
    groups = [g for g in GROUPS if g in config["groups"]]
    fits = [Fit(TRUTH, exact, problem)]
    fits += [fit for group in groups for fit in FITS[group](problem, precomputed) if fit.shown]
    values: dict[str, list[Any]] = {"figures": [], "contrasts": []}
    for damping in config["dampings"]:
        scores = {fit.name: suspicion(problem, fit.curvature, damping) for fit in fits}
        scores[LOSS] = problem.losses().detach().numpy()
        pairs = [pair for pair in PAIRS if set(pair) <= set(scores)]
        pairs += [(name, LOSS) for name in (TRUTH, "EK-FAC") if name in scores]
        alone, differences = detect(flipped, scores, pairs)
        common = {"seed": config["seed"], "reference": FLIPPED, "damping": damping}
        for name, detection in alone.items():
            values["figures"] += [
                common | {"curvature": name, "statistic": s} | _record(m)
                for s, m in (
                    ("auroc", detection.auroc),
                    ("average_precision", detection.average_precision),
                )
            ]
        values["contrasts"] += [
            common
            | {"first": first, "second": second, "statistic": "auroc"}
            | _record(detection.auroc)
            for (first, second), detection in differences.items()
        ]
    return values | {"flipped": int(flipped.sum()), "gradient_norm": end.gradient_norm}


def _record(measured: "Measured") -> dict[str, float]:
    ends = measured.interval
    return {"value": measured.value, "low": ends.low, "high": ends.high}


@dataclass(frozen=True)
class Measured:
    """A statistic and its interval; "none" where every resample gives the same."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Detection:
    """How well scores tell the flipped examples from the others.

    Args:
        auroc: Probability that a flipped example scores above another, ties counting half.
        average_precision: Precision averaged over the flipped examples, in the order of the scores
            (scikit-learn's definition: ties are taken together). Chance gives their share.
    """

    auroc: Measured
    average_precision: Measured


def detect(
    flipped: Bool[ndarray, " N"],
    scores: Mapping[str, Float[ndarray, " N"]],
    pairs: Sequence[tuple[str, str]] = (),
    *,
    level: float = 0.95,
) -> tuple[dict[str, Detection], dict[tuple[str, str], Detection]]:
    """AUROC and average precision of every score, and the differences of pairs of them.

    The intervals are bias-corrected and accelerated (Efron 1987) from 2,000 stratified resamples of
    the examples, flipped and others apart (Davison & Hinkley 1997, sections 3.2 and 5.3), the same
    resamples for all scores, so that a difference is a paired one. They cover the choice of the
    examples, neither the training's seed nor the choice of the flips.

    Args:
        flipped: Which examples are to be found.
        scores: The higher, the more suspicious.
        pairs: (first, second) for the differences first - second.
        level: Confidence level.

    Returns:
        Detections by score, and by pair.

    Raises:
        ValueError: Scores that are not finite, of another length, or only one kind of example.
    """
    from sklearn import metrics  # on use: it takes half a second to load

    kinds = [np.flatnonzero(~flipped), np.flatnonzero(flipped)]
    if min(map(len, kinds)) < 2:
        raise ValueError(f"detection needs two examples of each kind, got {[*map(len, kinds)]}")
    for name, values in scores.items():
        if values.shape != flipped.shape or not np.isfinite(values).all():
            raise ValueError(f"scores '{name}' must be {len(flipped)} finite numbers")
    every, without = np.ones((1, len(flipped))), 1.0 - np.eye(len(flipped))
    weights = np.vstack([every, _resamples(kinds, len(flipped)), without])
    resampled = {name: np.stack(weighted(flipped, v, weights)) for name, v in scores.items()}
    for name, v in scores.items():  # the point values are scikit-learn's own
        resampled[name][0, 0] = metrics.roc_auc_score(flipped, v)
        resampled[name][1, 0] = metrics.average_precision_score(flipped, v)

    def detection(values: Float[ndarray, "2 W"]) -> Detection:
        return Detection(*(_measured(row, kinds, level) for row in values))

    return (
        {name: detection(values) for name, values in resampled.items()},
        {
            (first, second): detection(resampled[first] - resampled[second])
            for first, second in pairs
        },
    )


def weighted(
    flipped: Bool[ndarray, " N"], scores: Float[ndarray, " N"], weights: Float[ndarray, "W N"]
) -> tuple[Float[ndarray, " W"], Float[ndarray, " W"]]:
    """AUROC and average precision, each example counted as often as its weight says.

    Args:
        flipped: Which examples are to be found.
        scores: The higher, the more suspicious.
        weights: Counts >= 0 in each of W data sets.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each tie

    def counts(kind: Bool[ndarray, " N"]) -> tuple[Float[ndarray, "W T"], Float[ndarray, "W T"]]:
        total = np.cumsum((weights * kind)[:, order], axis=1)[:, ends]
        return total, np.diff(total, axis=1, prepend=0.0)

    (true, new), (false, other) = counts(flipped), counts(~flipped)
    above = true - new / 2  # flipped ones above an other of the tie, those beside it counting half
    auroc = (above * other).sum(axis=1) / (true[:, -1] * false[:, -1])
    seen = np.maximum(true + false, 1.0)  # before the first counted example there is nothing to add
    return auroc, (new * true / seen).sum(axis=1) / true[:, -1]


def _resamples(kinds: list[Int[ndarray, " _K"]], count: int) -> Float[ndarray, "R N"]:
    """How often each example is in each resample; the two kinds keep their numbers."""
    random = np.random.RandomState(0)
    weights = np.zeros((RESAMPLES, count))
    for kind in kinds:
        weights[:, kind] = random.multinomial(len(kind), [1 / len(kind)] * len(kind), RESAMPLES)
    return weights


def _measured(
    values: Float[ndarray, " W"], kinds: list[Int[ndarray, " _K"]], level: float
) -> Measured:
    """BCa from the value, those of the resamples, and those without each example."""
    value, resampled, without = values[0], values[1 : RESAMPLES + 1], values[RESAMPLES + 1 :]
    if np.ptp(resampled) == 0:
        return Measured(float(value), Interval(float("nan"), float("nan"), level, "none"))
    # Ties count half, so that a statistic on a grid is not pushed to one side.
    below = ((resampled < value).mean() + (resampled <= value).mean()) / 2
    pieces = [without[kind].mean() - without[kind] for kind in kinds]
    influences = [(len(piece) - 1) * piece / len(piece) for piece in pieces]
    cubes, squares = (sum(float((i**power).sum()) for i in influences) for power in (3, 2))
    # Two scores may differ between resamples though no single example makes a difference: no skewness.
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    tail = (1 - level) / 2
    z = scipy.stats.norm.ppf(np.clip(below, 1e-9, 1 - 1e-9))
    shifted = z + scipy.stats.norm.ppf([tail, 1 - tail])
    ends = scipy.stats.norm.cdf(z + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(resampled, ends)
    return Measured(float(value), Interval(float(low), float(high), level, "bca"))
