"""Keep what tests measure against their bounds, for the trust report (`nox -s trust`).

A pytest plugin: `pytest --evidence FILE` writes one JSON line a test, with its outcome, its seconds,
the number of random examples that it passed and the largest ratio of a deviation to its bound.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

# (ratio, what) of the running test; a process runs one test at a time.
_measured: list[tuple[float, str]] = []


def within(deviation: Any, bound: Any, what: str = "") -> None:
    """Assert deviation <= bound entry by entry, NaN failing, and keep the largest ratio.

    Args:
        deviation: Distances, a number or an array; below 0 where a claim holds with room.
        bound: What they may be, broadcast against them.
        what: Which quantity, where a test measures several.
    """
    deviations, bounds = np.broadcast_arrays(_array(deviation), _array(bound))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(deviations <= 0, 0.0, deviations / bounds)
    ratios = np.where(np.isfinite(bounds), ratios, np.nan)  # what bounds nothing proves nothing
    worst = float(ratios.max(initial=0.0))  # NaN, if any entry is
    _measured.append((worst, what))
    assert worst <= 1, f"{what or 'deviation'} is {worst:.3g} times its bound"


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, dtype=float)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", metavar="FILE", help="write what every test measured, as JSON")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Attach to a test's report what it measured, so that it survives pytest-xdist's processes."""
    _measured.clear()
    try:
        return (yield)
    finally:
        summary: dict[str, Any] = {"examples": _examples(item), "comparisons": len(_measured)}
        if _measured:
            summary["ratio"], summary["what"] = max(_measured, key=lambda m: (m[0] != m[0], m[0]))
        item.user_properties.append(("evidence", summary))


def _examples(item: pytest.Item) -> int:
    """How many random examples a property-based test passed, by hypothesis's statistics."""
    counts = re.findall(r"(\d+) passing,", getattr(item, "hypothesis_statistics", ""))
    return sum(int(count) for count in counts)


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--evidence")
    if path and not hasattr(config, "workerinput"):  # with pytest-xdist, only the controller writes
        config.pluginmanager.register(_Writer(path))


class _Writer:
    """Writes a line for every test as its result comes in."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "w", encoding="utf-8"):
            pass

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        line = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration}
        line |= dict(report.user_properties).get("evidence", {})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
