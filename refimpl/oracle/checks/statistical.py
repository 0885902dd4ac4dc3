"""Sampled labels: their mean, their variance over seeds, and that every example has labels of its own.

The bands hold with probability 1 - ALPHA for all statistical checks of a run together: each of at
most COMPARISONS of them is decided in two stages, first on SEEDS seeds at the root of its share, and
where that fails on four times as many fresh seeds at the same level, so that both must fail.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from refimpl.oracle.checks.check import Check
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import Mode
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.concentration import of_variance_band
from refimpl.oracle.truth.label_moments import (
    Features,
    Moments,
    chance_of_one_value,
    features_of_eigenvalues,
    features_of_s,
    moments,
    moments_each,
)
from refimpl.oracle.truth.scales import THRESHOLD
from refimpl.oracle.truth.truth import Truth, Undecided

__all__ = ["ALPHA", "CHECKS", "COMPARISONS"]

ALPHA = 1e-6
COMPARISONS = 400  # checks times cases of a run, at most
LEVEL = (ALPHA / COMPARISONS) ** 0.5  # of each of the two stages
SEEDS = 48
COPIES, BATCH = 40, 4
PROBES = 8  # vectors u per factor, and entries per Lambda
NEARLY_NORMAL = 2.0  # excess kurtosis up to which the band of a variance is trusted


def _sampled(trial: Trial) -> bool:
    return trial.conventions.fisher == "sampled"


def _vectors(truth: Truth) -> dict[str, Array]:
    """Fixed random directions u [PROBES, O] of length one, by layer."""
    directions: dict[str, Array] = {}
    for name, (rows, _) in truth.shapes().items():
        u = np.random.default_rng([rows, PROBES]).standard_normal((PROBES, rows))
        directions[name] = u / np.linalg.norm(u, axis=1, keepdims=True)
    return directions


def _entries(truth: Truth) -> dict[str, list[tuple[int, int]]]:
    """The largest entries of the expected Lambda, and the middle one, by layer."""
    entries: dict[str, list[tuple[int, int]]] = {}
    for name, Lambda in truth.eigenvalues.items():
        order = np.argsort(-Lambda, axis=None)
        chosen = dict.fromkeys([*order[: PROBES - 1].tolist(), int(order[len(order) // 2])])
        entries[name] = [(k // Lambda.shape[1], k % Lambda.shape[1]) for k in chosen]
    return entries


def _of_factors(truth: Truth) -> tuple[Features, Callable[[Trial, int], Array]]:
    """Features of S whose moments are known, and a function that reads them from a seed's answer."""
    free = truth.conventions.factor_scale == "free"  # only the product has a scale
    sizes = {n: float(np.trace(A)) for n, (A, _) in truth.factors.items()}
    if free and not all(sizes.values()):
        raise Undecided("the inputs of a layer are all zero: nothing says how large its S is")
    u = _vectors(truth)
    whole = {b.name: torch.from_numpy(u[b.name]) for b in truth.case.blocks}
    features = features_of_s(truth.problem, whole, truth.conventions.weight_sharing)

    def read(trial: Trial, seed: int) -> Array:
        answer, values = trial.factors(seed), list[Array]()
        for name in whole:
            A, S = answer[name]
            if free:
                S = S * (np.trace(A) / sizes[name])
            values += [np.einsum("uo,op,up->u", u[name], S, u[name]), np.trace(S)[None]]
        return np.concatenate(values)

    return features, read


def _of_eigenvalues(truth: Truth) -> tuple[Features, Callable[[Trial, int], Array]]:
    """Features of Lambda in the basis of the expected factors, and a function that reads them."""
    basis, entries, features = truth.basis, _entries(truth), Features()
    # Separate biases are layers with no basis of [W | b].
    for block in truth.case.blocks:
        if block.bias and truth.conventions.bias != "last_column":
            raise Undecided("Lambda of sampled labels is judged with the bias as last column only")
    pairs = {n: (torch.from_numpy(b[1]), torch.from_numpy(b[3])) for n, b in basis.items()}
    features = features_of_eigenvalues(truth.problem, pairs, entries)

    def read(trial: Trial, seed: int) -> Array:
        answer, values = trial.eigenvalues("isolated", seed), list[float]()
        for name, places in entries.items():
            values += [float(answer[name][place]) for place in places]
            values.append(float(answer[name].sum()))
        return np.array(values)

    return features, read


Measured = Callable[[Truth], tuple[Features, Callable[[Trial, int], Array]]]


def _exact(truth: Truth, features: Features) -> Moments:
    exact = moments(truth.problem, features).times(truth.loss_scale)
    if not (exact.variance > 0).any():
        raise Undecided("whatever label is drawn, the gradients are the same")
    return exact


def _stages(ratio: Callable[[Sequence[int]], float]) -> float:
    """The first stage's ratio where it passes, else that of fresh seeds."""
    first = ratio(range(1, SEEDS + 1))
    return first if first < 1 else ratio(range(1001, 1001 + 4 * SEEDS))


def _mean(measured: Measured) -> Callable[[Trial, Mode], float]:
    def measure(trial: Trial, mode: Mode) -> float:
        truth = trial.truth
        features, read = measured(truth)
        exact = _exact(truth, features)
        labels = truth.case.num_examples * trial.conventions.samples
        # Each gradient's entry is rounded by u of the largest, before it is squared: that alone counts
        # where nothing is random, as in a null space.
        sizes, lost = exact.mean + exact.reach, THRESHOLD * trial.unit
        rounding = labels * (lost * np.sqrt(sizes * sizes.max()) + lost**2 * sizes.max())

        def ratio(seeds: Sequence[int]) -> float:
            mean = np.mean([read(trial, seed) for seed in seeds], axis=0)
            band = exact.band(labels * len(seeds), LEVEL / len(mean)) + rounding
            return _largest(np.abs(mean - exact.mean), band)

        return _stages(ratio)

    return measure


def _largest(values: Array, bound: Array) -> float:
    """The largest value over its bound, 0/0 being 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(values == 0, 0.0, values / bound).max())


def _variance(measured: Measured) -> Callable[[Trial, Mode], float]:
    def measure(trial: Trial, mode: Mode) -> float:
        return _variance_of(trial, measured)

    return measure


def _variance_of(trial: Trial, measured: Measured) -> float:
    truth = trial.truth
    features, read = measured(truth)
    exact = _exact(truth, features)
    labels = truth.case.num_examples * trial.conventions.samples
    visible = exact.mean > 1e-9 * exact.mean.max()  # no null space, where rounding is all there is
    random = exact.variance > 1e-6 * exact.mean**2
    decides = visible & random & (exact.excess(labels) <= NEARLY_NORMAL)
    if not decides.any():
        raise Undecided("too few labels, or too rarely another one, for a variance to be judged")
    expected = exact.variance[decides] / labels

    def ratio(seeds: Sequence[int]) -> float:
        values = np.array([read(trial, seed) for seed in seeds])[:, decides]
        variances = values.var(axis=0, ddof=1) / expected
        return float(of_variance_band(variances, len(seeds), LEVEL / len(variances)).max())

    return _stages(ratio)


def _copies(case: Case, example: int) -> Case:
    """Forty copies of one example, in batches of four."""
    same = {
        n: np.repeat(getattr(case, n)[example, None], COPIES, axis=0) for n in ("inputs", "labels")
    }
    return case.but(**same, batch_size=BATCH)


def _batches(trial: Trial, mode: Mode) -> float:
    """The variance over seeds on copies of the example whose first layer's tr S varies most."""
    problem, truth = trial.truth.problem, trial.truth
    u = {b.name: torch.from_numpy(_vectors(truth)[b.name]) for b in trial.case.blocks}
    trace = features_of_s(problem, u, trial.conventions.weight_sharing)[PROBES]
    most = int(np.argmax(moments_each(problem, trace)[1]))
    return _variance_of(trial.on(_copies(trial.case, most)), _of_factors)


def _seed(trial: Trial, mode: Mode) -> float:
    """0 where seeds give different factors."""
    features, read = _of_factors(trial.truth)
    _exact(trial.truth, features)
    if chance_of_one_value(trial.truth.problem, features, SEEDS) > ALPHA / COMPARISONS:
        raise Undecided("the model is so sure of its labels that all seeds may draw the same")
    drawn = np.array([read(trial, seed) for seed in range(1, SEEDS + 1)])
    return 0.0 if (drawn != drawn[0]).any() else np.inf


TWO_STAGES = "; in two stages, with 1e-6 false alarms for all statistical checks of a run"
CHECKS = (
    Check(
        "factors-sampled-mean",
        "statistical",
        "factors",
        "Over seeds the sampled S has the model's own label distribution for its mean.",
        "|mean u^T S u - E u^T S u| <= bL/3M + sqrt((bL/3M)^2 + 2vL/M), L = ln(2 / alpha)",
        "Boucheron, Lugosi & Massart 2013, corollary 2.11; Laurent & Massart 2000, lemma 1",
        "the band at M labels, with v and b by enumeration of the labels (normal ones: 2 sqrt(v'L/M) + "
        "2b'L/M)" + TWO_STAGES,
        _mean(_of_factors),
        applies=_sampled,
        threshold=1.0,
        shows=True,
    ),
    Check(
        "factors-sampled-variance",
        "statistical",
        "factors",
        "Over seeds the sampled S varies as much as independent labels make it, of the declared number.",
        "(R - 1) s^2 / v ~ chi^2_{R-1}, v = Var X / (N samples)",
        "Cochran 1934; refimpl.oracle.truth.concentration.variance_band",
        "the chi-square band over R seeds, widened by 1.6 for kurtosis (a heuristic); only where the "
        "excess kurtosis is at most 2" + TWO_STAGES,
        _variance(_of_factors),
        applies=_sampled,
        threshold=1.0,
    ),
    Check(
        "factors-sampled-batches",
        "statistical",
        "factors",
        "Labels of different batches are independent: forty copies of an example, in batches of four.",
        "(R - 1) s^2 / v ~ chi^2_{R-1}, v = Var X / (40 samples)",
        "Cochran 1934; refimpl.oracle.truth.concentration.variance_band",
        "as for factors-sampled-variance; a generator that every batch restarts makes it ten times v",
        _batches,
        applies=_sampled,
        threshold=1.0,
    ),
    Check(
        "factors-sampled-seed",
        "statistical",
        "factors",
        "The seed draws the labels: another seed gives other factors.",
        "S(seed) is not constant",
        "Martens & Grosse 2015, section 2.1",
        "exact: 48 independent draws of all labels are not the same; only where the chance of it is "
        "below 2.5e-9",
        _seed,
        applies=_sampled,
        threshold=1.0,
    ),
    Check(
        "eigenvalues-sampled-mean",
        "statistical",
        "eigenvalues",
        "Over seeds the sampled Lambda has the model's own label distribution for its mean.",
        "|mean Lambda - E Lambda| <= bL/3M + sqrt((bL/3M)^2 + 2vL/M), L = ln(2 / alpha)",
        "Boucheron, Lugosi & Massart 2013, corollary 2.11; Laurent & Massart 2000, lemma 1",
        "as for factors-sampled-mean" + TWO_STAGES,
        _mean(_of_eigenvalues),
        applies=_sampled,
        threshold=1.0,
        shows=True,
    ),
    Check(
        "eigenvalues-sampled-variance",
        "statistical",
        "eigenvalues",
        "Over seeds the sampled Lambda varies as much as independent labels make it.",
        "(R - 1) s^2 / v ~ chi^2_{R-1}, v = Var X / (N samples)",
        "Cochran 1934; refimpl.oracle.truth.concentration.variance_band",
        "as for factors-sampled-variance" + TWO_STAGES,
        _variance(_of_eigenvalues),
        applies=_sampled,
        threshold=1.0,
    ),
)
