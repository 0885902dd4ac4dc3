"""(d) on tiny sizes: both solvers reach one minimiser, and the best of Adam's settings is chosen."""

import pytest

from validation.bench import responses
from validation.bench.responses import adam, best
from validation.parts.saved import Result

CONFIG = {**responses.CONFIG, **responses.QUICK}


def attempt(rate: float, seconds: float, relative: float) -> dict:
    return {"settings": {"rate": rate, "steps": 3000}, "seconds": seconds, "relative": relative}


def test_both_reach_one_minimiser():
    tried = responses.attempt({**CONFIG, "rate": 1e-3, "steps": 3000}, {})
    assert tried["relative"] <= 1e-3
    values = responses.beside(CONFIG, {"adam/0.001/3000": Result(tried)})
    assert values["relative"] <= 1e-3
    assert values["relative_adam"] <= 1e-3
    # Each lies within ||gradient|| / lambda of the minimiser where the objective is lambda-convex; the
    # first gradient is epsilon grad l_m, and the move at least ||gradient|| / (||H|| + lambda): twice
    # 1e-3 (||H|| + lambda) / lambda, with ||H|| below 10 and lambda 0.1.
    assert values["difference"] <= 2 * 1e-3 * (10 + 0.1) / 0.1
    assert len(values["seconds"]["refimpl"]) == 5


def test_too_few_steps_are_told():
    problem = responses.trained_problem(CONFIG)
    _, relative, taken = adam(
        problem, 0, epsilon=1 / 30, damping=0.1, rate=1e-3, tolerance=1e-9, steps=20
    )
    assert taken == 20
    assert 1e-9 < relative < 1.0


def test_the_best_is_the_quickest_that_arrived_else_the_nearest():
    tried = [attempt(1e-2, 1.0, 1e-4), attempt(1e-3, 5.0, 1e-9), attempt(1e-4, 3.0, 1e-9)]
    assert best(tried, 1e-8)["settings"]["rate"] == pytest.approx(1e-4)
    assert best(tried, 1e-10)["seconds"] == 5.0
    assert best(tried[:1], 1e-8)["settings"]["rate"] == pytest.approx(1e-2)
