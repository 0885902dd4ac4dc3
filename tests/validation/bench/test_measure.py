"""What is counted, in which order, and what a peak is; the times themselves are nobody's to assert."""

import subprocess
import sys
import time

import pytest
import torch

from validation.bench import measure
from validation.bench.measure import multiply, product_rate, ratio, side_by_side

WALL = {"device": "cpu", "clock": "wall"}


class Hours:
    """A clock that contenders set forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(measure.time, name, lambda: self.now)

    def contender(self, name: str, seconds: list[float]):
        remaining = iter(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += next(remaining)

        return call


@pytest.mark.parametrize(("clock", "function"), [("wall", "perf_counter"), ("cpu", "process_time")])
def test_contenders_take_turns_and_the_first_call_does_not_count(monkeypatch, clock, function):
    hours = Hours(monkeypatch, function)
    contenders = {
        "a": hours.contender("a", [9.0, 1.0, 2.0, 3.0]),
        "b": hours.contender("b", [7.0, 4.0, 4.0, 8.0]),
    }
    seconds = side_by_side(contenders, {"device": "cpu", "clock": clock}, repeats=3)
    assert seconds == {"a": [1.0, 2.0, 3.0], "b": [4.0, 4.0, 8.0]}
    assert hours.calls == ["a", "b", "a", "b", "a", "b", "a", "b"]
    assert ratio(seconds, "b", "a") == 2.0


def test_what_takes_long_counts_its_first_call_and_is_repeated_less_often(monkeypatch):
    hours = Hours(monkeypatch, "perf_counter")
    contenders = {
        "quick": hours.contender("quick", [1.0] * 6),
        "long": hours.contender("long", [25.0, 26.0]),
        "longest": hours.contender("longest", [500.0]),
    }
    seconds = side_by_side(contenders, WALL)
    assert seconds == {"quick": [1.0] * 5, "long": [25.0, 26.0], "longest": [500.0]}


def test_the_product_has_the_operations_asked_for(monkeypatch):
    product = multiply(2.0 * 50 * 30**2, 50, torch.float64)()
    assert product.shape == (30, 30)
    assert bool((product == 50).all())
    hours = Hours(monkeypatch, "perf_counter")
    seconds = iter([5.0, 2.0, 1.0, 4.0, 3.0, 2.0])  # the best of those that count
    real = torch.mm

    def mm(*args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        hours.now += next(seconds)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "mm", mm)
    assert product_rate(10, torch.float64, WALL) == 2000.0


HOLD = """
import torch
from validation.bench.measure import peak_memory

def hold():
    first = torch.ones(2**23, dtype=torch.float64)  # above malloc's threshold: mapped anew
    return int((first + 1)[0])

print(*peak_memory(hold))
"""


def test_a_peak_is_what_was_held_at_once_and_given_back():
    # In a process of its own: in this one, what other tests' threads give back meanwhile would count.
    run = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    peak, seconds = map(int, run.stdout.split())
    assert seconds == 2
    assert 120 * 2**20 < peak < 200 * 2**20


def test_an_unknown_clock_is_refused():
    with pytest.raises(KeyError, match="sundial"):
        measure.timed(time.time, {"device": "cpu", "clock": "sundial"})
