"""(b) on tiny sizes: every route gives the same scores, and says how good its solves were."""

import pytest

from refimpl import exact
from refimpl.curvature.certificates import Solution
from validation.bench import influences
from validation.bench.influences import growth

CONFIG = {**influences.CONFIG, **influences.QUICK, "sizes": [16, 4, 10]}


@pytest.fixture(scope="module")
def dual():
    return influences.scores({**CONFIG, "route": "dual"}, {})


@pytest.mark.parametrize("route", ["primal", "iterative"])
def test_routes_agree(dual, route):
    values = influences.scores({**CONFIG, "route": route}, {})
    # Two answers of backward error eta each differ by 2 kappa eta / (1 - kappa eta) at most of x, and
    # so do sums of scores of their size; kappa <= 1e5 with this norm of G and this damping.
    bound = 2 * 2 * 1e5 * max(values["backward_error"], dual["backward_error"])
    assert values["probe"] == pytest.approx(dual["probe"], rel=bound)
    assert bound < 1e-7
    assert len(values["seconds"]) == 5


def test_the_worst_backward_error_is_reported(monkeypatch):
    solve = exact.GaussNewton.solve

    def spoilt(self, vectors, damping):
        solution = solve(self, vectors, damping)
        solution.certificate.backward_error[-1] = 0.5
        object.__setattr__(solution.certificate, "tolerance", 1.0)
        return Solution(solution.value, solution.certificate)

    monkeypatch.setattr(exact.GaussNewton, "solve", spoilt)
    assert influences.scores({**CONFIG, "route": "dual"}, {})["backward_error"] == 0.5


def test_growth_is_the_exponent():
    assert growth([10.0, 100.0, 1000.0], [2e1, 2e3, 2e5]) == pytest.approx(2.0, rel=1e-12)
    assert growth([10.0, 1000.0], [3.0, 3.0]) == pytest.approx(0.0, abs=1e-12)


def test_long_runs_are_repeated_less(monkeypatch):
    monkeypatch.setattr(influences, "timed", lambda call, _: (call(), None))
    assert influences.repeated_within_budget(lambda: 1.0, 0.1, CONFIG) == [1.0] * 5
    assert influences.repeated_within_budget(lambda: 1.0, 25.0, CONFIG) == [1.0] * 2
    assert influences.repeated_within_budget(lambda: 1.0, 31.0, CONFIG) == [31.0]
