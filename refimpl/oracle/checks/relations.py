"""Relations between an implementation's own answers; none needs the true answer.

Two answers may differ by the rounding error of each; see `refimpl.oracle.truth.rounding`.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from refimpl.oracle.checks import changes
from refimpl.oracle.checks.check import worst
from refimpl.oracle.checks.eigenbasis import residual
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages import STAGES, Stage
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.stages.scores import SCORES
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.truth.shared import truth_of
from refimpl.oracle.truth.truth import Undecided

__all__ = [
    "batch_size",
    "blind",
    "duplicated",
    "example_alone",
    "large_damping",
    "loss_scaled",
    "order",
    "own_influence",
    "padding",
    "precision",
    "product_scaled",
    "query_alone",
    "repeat",
    "symmetric",
    "tokens_add",
]

TIMES = 4.0  # a power of two: multiplying the loss by it rounds nothing

Answers = Mapping[str, Array]


def _shared_arguments(base: Trial, stage: Stage) -> dict[str, Any]:
    """Factors, basis and vectors of the base trial, for a question about another case."""
    isolated = stage.arguments(base)
    return {name: isolated[name] for name in ("factors", "basis", "vectors") if name in isolated}


def _answer(trial: Trial, stage: str, base: Trial) -> Answers:
    """The answer of a stage as arrays by name, from the base trial's basis and vectors."""
    definition = STAGES[stage]
    return definition.arrays(trial.ask(stage, **_shared_arguments(base, definition)))


def _scales(trial: Trial, stage: str) -> Answers:
    """The error scale of every entry of an answer, at the implementation's own scale of factors."""
    definition = STAGES[stage]
    scale = definition.scale(trial.truth, definition.arguments(trial))
    return definition.relation_scale(trial.truth, lambda: trial.ask(stage), scale)


def _difference(trial: Trial, answers: Answers, expected: Answers, scale: Answers) -> float:
    """The largest ratio of two answers' difference to the sum of their error scales."""
    return max(worst(answers[n] - expected[n], 2 * scale[n], trial.unit) for n in expected)


def _error_on(trial: Trial, stage: str, case: Case, times: float = 1.0) -> float:
    """The error of `times` the answer against the answer on another case, over its scale."""
    answers, base_answers = _answer(trial.on(case), stage, trial), _answer(trial, stage, trial)
    scale = {n: times * s for n, s in _scales(trial, stage).items()}
    return _difference(trial, answers, {n: times * a for n, a in base_answers.items()}, scale)


def batch_size(trial: Trial, stage: str) -> float:
    """The answer with batches of one and of all examples."""
    n = trial.case.num_examples
    sizes = {1, n} - {trial.case.batch_size}
    if not sizes:
        raise Undecided("one example has one batch")
    return max(_error_on(trial, stage, trial.case.but(batch_size=size)) for size in sizes)


def order(trial: Trial, stage: str) -> float:
    """The answer on reordered data, put back in order."""
    n = trial.case.num_examples
    if n < 2:
        raise Undecided("one example has one order")
    places = np.random.default_rng(0).permutation(n)
    if (places == np.arange(n)).all():
        places = places[::-1]
    case = changes.selected(trial.case, places)
    by_example = STAGES[stage].example_axis
    if by_example is None:
        return _error_on(trial, stage, case)

    def reordered(answers: Answers) -> Answers:
        return {name: np.take(a, places, axis=by_example) for name, a in answers.items()}

    changed_answers, base_answers = (
        _answer(trial.on(case), stage, trial),
        _answer(trial, stage, trial),
    )
    return _difference(
        trial, changed_answers, reordered(base_answers), reordered(_scales(trial, stage))
    )


def repeat(trial: Trial, stage: str) -> float:
    """The answer to the same question again, after a question about another case."""
    first = _answer(trial, stage, trial)
    between = trial.on(changes.selected(trial.case, np.arange((trial.case.num_examples + 1) // 2)))
    takes_case = STAGES[stage].takes_case  # the others know the other case by its factors alone
    for other in ("factors", stage):
        if trial.has(other):
            # What comes between may have no answer: another stage's error is none of this one.
            with nullcontext() if other == stage else suppress(Unsupported, Failed, BadAnswer):
                _answer(between, other, trial if STAGES[other].takes_case else between)
    # No other check changes an eigenbasis's case: one remembered from the first shows here, or nowhere.
    stale = residual(between, "isolated") if STAGES[stage].of_factors else 0.0
    again = _answer(trial.on(trial.case), stage, trial)
    # Parallel sums may differ in order, and so by roundings, from one call to the next.
    scale = (
        _scales(trial, stage)
        if takes_case
        else {n: np.abs(a) + np.abs(a).max() for n, a in first.items()}
    )
    return max(stale, _difference(trial, again, first, scale))


def duplicated(trial: Trial, stage: str) -> float:
    """The answer on the data and the data once more."""
    case, by_example = changes.repeated(trial.case), STAGES[stage].example_axis
    if by_example is None:
        return _error_on(trial, stage, case)
    times = 0.5 if STAGES[stage].divided_by_n(trial.conventions) else 1.0

    def twice(answers: Answers) -> Answers:
        return {n: times * np.concatenate([a, a], axis=by_example) for n, a in answers.items()}

    changed_answers, base_answers = (
        _answer(trial.on(case), stage, trial),
        _answer(trial, stage, trial),
    )
    return _difference(trial, changed_answers, twice(base_answers), twice(_scales(trial, stage)))


def padding(trial: Trial, stage: str) -> float:
    """The answer with something else at ignored tokens."""
    case = changes.repadded(trial.case)
    # Where a layer's positions are not the loss's tokens all of them count: K-FAC looks at padding.
    one, two = (truth_of(c, trial.declaration.curvature).factors for c in (trial.case, case))
    for name, (A, _) in one.items():
        if not np.allclose(A, two[name][0], rtol=1e-9, atol=1e-9 * np.abs(A).max()):
            raise Undecided(f"layer {name!r} acts on other positions than the loss counts")
    return _error_on(trial, stage, case)


def blind(trial: Trial, stage: str) -> float:
    """The answer with other labels."""
    return _error_on(trial, stage, changes.relabelled(trial.case))


def _with_scaled_loss(trial: Trial) -> tuple[Case, float]:
    """The case with TIMES its loss, and the factor by which its second moments grow."""
    conventions, empirical = trial.conventions, trial.conventions.fisher == "empirical"
    second = TIMES**2 if empirical else TIMES
    layered = trial.curvature != "gauss_newton"  # the whole matrix's is absolute
    damping = 1.0 if layered and conventions.damping == "relative" else second
    return changes.reweighted(trial.case, TIMES, damping), second


def loss_scaled(trial: Trial, stage: str) -> float:
    """A loss c l has c G; with c lambda the scores are c times as large."""
    case, second = _with_scaled_loss(trial)
    of_loss, of_moments = STAGES[stage].degree
    return _error_on(trial, stage, case, TIMES**of_loss * second**of_moments)


def product_scaled(trial: Trial, stage: str) -> float:
    """A loss c l has c A x S, whichever of the two takes the factor."""
    case, second = _with_scaled_loss(trial)
    scaled_factors, factors = trial.on(case).factors(), trial.factors()
    scale = _scales(trial, stage)
    ratios: list[float] = []
    for name, (A, S) in factors.items():
        trace = float(np.trace(A))
        share = float(np.trace(scaled_factors[name][0])) / trace if trace != 0 else 1.0
        ratios.append(
            worst(scaled_factors[name][0] - share * A, abs(share) * scale[f"{name}/A"], trial.unit)
        )
        rest = second / share if share != 0 else np.inf
        ratios.append(
            worst(scaled_factors[name][1] - rest * S, abs(rest) * scale[f"{name}/S"], trial.unit)
        )
        if trial.conventions.factor_scale == "each":
            ratios.append(
                worst(np.array([share - 1.0]), np.array([trial.case.inputs.size]), trial.unit)
            )
    return max(ratios)


def precision(trial: Trial, stage: str) -> float:
    """In float32 the answer is that of float64 to float32's rounding."""
    low = trial.on(trial.case, "float32")
    scale, base_answers = _scales(trial, stage), _answer(trial, stage, trial)
    STAGES[stage].decide(low.truth)  # undecided where float32 decides nothing
    return _difference(low, _answer(low, stage, trial), base_answers, scale)


def example_alone(trial: Trial, stage: str) -> float:
    """Each of the first training examples by itself."""
    case = trial.case
    times = 1 / case.num_examples if STAGES[stage].divided_by_n(trial.conventions) else 1.0
    others = [changes.selected(case, np.array([k])) for k in range(min(3, case.num_examples))]
    return _error_of_rows(trial, stage, others, times)


def query_alone(trial: Trial, stage: str) -> float:
    """Each of the first queries by itself."""
    case, others = trial.case, list[Case]()
    for k in range(min(3, len(case.query_inputs))):
        rows = {n: getattr(case, n)[k : k + 1] for n in ("query_inputs", "query_labels")}
        others.append(case.but(**rows))
    return _error_of_rows(trial, stage, others, 1.0)


def _error_of_rows(trial: Trial, stage: str, others: Sequence[Case], times: float) -> float:
    """Compare the k-th row of an answer with `times` the only row of the answer on the k-th case."""
    base_answers, scale, ratios = _answer(trial, stage, trial), _scales(trial, stage), list[float]()
    for k, other in enumerate(others):
        answers = {n: times * a[0] for n, a in _answer(trial.on(other), stage, trial).items()}
        expected, each = (
            {n: a[k] for n, a in base_answers.items()},
            {n: s[k] for n, s in scale.items()},
        )
        ratios.append(_difference(trial, answers, expected, each))
    return max(ratios)


def tokens_add(trial: Trial, stage: str) -> float:
    """The gradient of a sequence against the sum over its tokens, each alone."""
    gradients, scale = trial.gradients(), _scales(trial, stage)
    parts = [trial.on(case).gradients() for case in changes.single_token_cases(trial.case)]
    total = {n: np.sum([p[n] for p in parts], axis=0) for n in gradients}
    each = {n: scale[n] + np.sum([np.abs(p[n]) for p in parts], axis=0) for n in gradients}
    return _difference(trial, total, gradients, each)


def _on_themselves(trial: Trial) -> tuple[Trial, Array, Array]:
    """Scores of the training data on themselves [N, N], and their scale."""
    case = trial.case
    other = trial.on(case.but(query_inputs=case.inputs, query_labels=case.labels))
    return other, other.scores(), SCORES.scale(other.truth, SCORES.arguments(other))["answer"]


def symmetric(trial: Trial, stage: str) -> float:
    """Scores of the training examples among themselves, against their transpose."""
    _, scores, scale = _on_themselves(trial)
    return worst(scores - scores.T, scale + scale.T, trial.unit)


def own_influence(trial: Trial, stage: str) -> float:
    """Scores of the training examples on themselves, of one sign."""
    _, scores, scale = _on_themselves(trial)
    self_scores = np.diag(scores) if trial.conventions.sign == "influence" else -np.diag(scores)
    return worst(np.maximum(self_scores, 0.0), np.diag(scale), trial.unit)


def large_damping(trial: Trial, stage: str) -> float:
    """At lambda = ||H|| / sqrt(u) the first neglected term is sqrt(u) ||grad l_q|| ||grad l_n||."""
    if not trial.has("gradients"):
        raise Undecided("it has no gradients of its own")
    case, truth = trial.case, trial.truth
    sizes = [np.trace(A) * np.trace(S) for A, S in truth.factors.values()]
    damping = max(*sizes, float(np.linalg.norm(truth.matrix, 2)), 1e-30) / trial.unit**0.5
    scores = trial.on(case.but(damping=float(damping))).scores() * damping
    of_queries = trial.on(case.but(inputs=case.query_inputs, labels=case.query_labels))
    try:
        q, g = of_queries.gradients(), trial.gradients()
    except (Unsupported, Failed, BadAnswer) as error:  # of another stage
        raise Undecided(f"its gradients are not to be had: {error}") from None
    if trial.conventions.loss_reduction == "example_mean":
        q = {n: len(case.query_inputs) * m for n, m in q.items()}
        g = {n: case.num_examples * m for n, m in g.items()}
    products = sum(np.einsum("qoi,noi->qn", q[n], g[n]) for n in g)
    norms = [np.sqrt(sum((m[n] ** 2).sum(axis=(1, 2)) for n in g)) for m in (q, g)]
    size = np.outer(*norms)
    if trial.conventions.sign == "influence":
        products = -products
    if trial.conventions.score_scale == "1/N":
        products, size = products / case.num_examples, size / case.num_examples
    return worst(scores - products, size, trial.unit**0.5)
