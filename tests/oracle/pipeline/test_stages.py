"""The pipeline is a derivation of its own: it must agree with the truth to rounding, stage by stage."""

import numpy as np
import pytest

from refimpl.oracle.cases import all_cases
from refimpl.oracle.checks.check import worst
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions, records
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Truth, Undecided

CHANGED = [
    {name: choice}
    for name, record in records().items()
    for choice in record.values[1:]
    if name not in ("dtype", "factor_scale") and choice != "sampled"
]
CHANGED += [{}, {"fisher": "empirical", "squared_error": "full"}]

FACTORED = {"damping": "factored"}


def _ratio(found: dict[str, Array], truth: Truth, answer) -> float:
    right, scale = answer(truth), scale_of(truth, answer)
    assert list(found) == list(right)
    return max(worst(found[n] - right[n], scale[n] + np.abs(right[n]), 2.0**-53) for n in right)


@pytest.mark.parametrize("changed", [c for c in CHANGED if c != FACTORED], ids=str)
def test_stages_agree_with_the_truth(changed: dict[str, str]) -> None:
    """Each stage within 30 times its rounding scale, in every convention."""
    case = all_cases()["tokens/hostile-padding"].but(conventions=Conventions.of(changed))
    truth, pipeline = Truth(case), Pipeline(Declaration("pipeline", conventions=changed))
    try:
        truth.loss_scale  # noqa: B018
    except Undecided:
        return
    assert _ratio(pipeline.gradients(case), truth, lambda t: t.gradients) < THRESHOLD
    factors = pipeline.factors(case, 0)
    for i in (0, 1):
        found = {n: f[i] for n, f in factors.items()}
        assert (
            _ratio(found, truth, lambda t, i=i: {n: f[i] for n, f in t.factors.items()}) < THRESHOLD
        )
    found = pipeline.eigenvalues(case, truth.basis, 0)
    assert _ratio(found, truth, lambda t: t.eigenvalues_in(truth.basis)) < THRESHOLD


@pytest.mark.parametrize(
    ("curvature", "changed"),
    [
        pytest.param(curvature, c, id="-".join([*map(str, c.values()), curvature]))
        for curvature in ("ekfac", "kfac", "gauss_newton")
        for c in CHANGED
        if c != FACTORED or curvature == "kfac"
    ],
)
def test_products_and_solves_agree_with_the_truth(curvature: str, changed: dict[str, str]) -> None:
    """Gauss-Newton products, damped solves and scores, in every convention."""
    case = next(iter(all_cases().values())).but(conventions=Conventions.of(changed))
    truth = Truth(case, curvature)
    pipeline = Pipeline(Declaration("pipeline", conventions=changed, curvature=curvature))  # type: ignore[arg-type]
    P = len(truth.matrix)
    error = pipeline.gauss_newton(case, np.eye(P)) - truth.matrix
    scale = scale_of(truth, lambda t: t.matrix) + np.abs(truth.matrix)
    assert worst(error, scale, 2.0**-53) < THRESHOLD
    V = np.random.default_rng(0).standard_normal((3, P))
    state = State(case, truth.factors, truth.basis, truth.eigenvalues)
    error = pipeline.solve(state, V, case.damping) - truth.solve(V)
    assert worst(error, scale_of(truth, lambda t: t.solve(V)), 2.0**-53) < THRESHOLD
    error = pipeline.scores(case, 0) - truth.scores
    assert worst(error, scale_of(truth, lambda t: t.scores), 2.0**-53) < THRESHOLD


def test_sampled_factors_tend_to_the_exact_ones() -> None:
    """Over 400 seeds the mean of S differs from the exact one by less than 5 standard errors."""
    case = next(iter(all_cases().values())).but(conventions=Conventions(fisher="sampled"))
    pipeline, truth = Pipeline(Declaration("p", conventions={"fisher": "sampled"})), Truth(case)
    drawn = np.stack([pipeline.factors(case, seed)["fc2"][1] for seed in range(400)])
    error = drawn.mean(axis=0) - truth.factors["fc2"][1]
    assert np.all(np.abs(error) < 5 * drawn.std(axis=0) / 400**0.5)
    assert drawn.std(axis=0).max() > 0.01


def test_sampled_labels_do_not_depend_on_the_batch_size() -> None:
    """All random numbers come from one draw, so that no batch size can change them."""
    case = next(iter(all_cases().values())).but(
        conventions=Conventions(fisher="sampled", samples=2)
    )
    pipeline = Pipeline(Declaration("p", conventions={"fisher": "sampled", "samples": 2}))
    small, large = (pipeline.factors(case.but(batch_size=b), 3)["fc1"][1] for b in (1, 10))
    np.testing.assert_allclose(small, large, rtol=1e-14)


@pytest.mark.parametrize("epsilon", [1e-3, -1e-3])
def test_responses_agree_with_certified_ones(epsilon: float) -> None:
    """Both gradients' norms are at most 1e-10 of the first: so close are both to the minimiser."""
    case = next(iter(all_cases().values()))
    truth = Truth(case)
    start = truth.problem.parameters.numpy()
    found, right = Pipeline().response(case, 2, epsilon), truth.response(2, epsilon)
    moved = np.linalg.norm(right - start)
    # |error| <= |gradient| / lambda, |first gradient| >= lambda |moved|, kappa <= 1 + |G| / lambda.
    kappa = 1 + np.linalg.norm(truth.matrix, 2) / case.damping
    assert np.linalg.norm(found - right) <= 2e-10 * kappa * moved + 1e-15
