"""Levels of verification, and what the tests of each have measured."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LEVELS", "Level", "Summary", "Test", "read", "summarise"]


@dataclass(frozen=True)
class Level:
    """One level.

    Args:
        name: Its name.
        claim: What its tests show.
        tests: Beginnings of the paths of its tests.
    """

    name: str
    claim: str
    tests: tuple[str, ...]


# A test belongs to the first level that its path fits.
LEVELS = (
    Level(
        "Proved",
        "float64 answers lie within derived bounds of values enclosed in ball arithmetic: Jacobian, "
        "GNH, Hessian, A, S, Λ, solves, influences of small networks, some badly conditioned",
        ("tests/validation/proved/",),
    ),
    Level(
        "Defined",
        "the definition equals a GNH derived by hand; derivatives equal complex steps, steps of sixty "
        "digits, and torch's own losses",
        (
            "tests/exact/test_definition.py",
            "tests/identities/test_differences.py",
            "tests/losses/",
        ),
    ),
    Level(
        "Equal by another way",
        "the structured GNH, the factors and the eigenvalues equal those of the definition on random "
        "and on hostile models; least squares and logistic regression equal statsmodels'",
        (
            "tests/exact/test_gauss_newton.py",
            "tests/identities/test_special_cases.py",
            "tests/rows/test_hooks.py",
            "tests/problem/layers/",
            "tests/problem/test_layout.py",
            "tests/scores/test_examples.py",
            "tests/fast/",
        ),
    ),
    Level(
        "Identities",
        "where K-FAC and EK-FAC must equal the GNH they do; what must not change does not: order, "
        "repetition, batches, scale, coordinates, hidden units' order, precision",
        ("tests/identities/",),
    ),
    Level(
        "Statistics",
        "sampled factors have the mean, the variance and the independence of labels drawn from the "
        "model, and do not see the data's; false alarms in the whole suite below one in a million",
        ("tests/sampling/",),
    ),
    Level(
        "Outcomes",
        "responses are stationary points of the proximal Bregman objective; their slope at zero is "
        "the influence; where the model is linear they are what influence predicts",
        ("tests/exact/",),
    ),
    Level(
        "Tools",
        "what is refused, intervals and rankings, resumed runs, pages, the README's examples",
        ("",),
    ),
)


@dataclass(frozen=True)
class Test:
    """What a test measured: `ratio` is the largest deviation over its bound, if it has bounds."""

    __test__ = False  # no test class of pytest's

    name: str
    outcome: str
    seconds: float
    examples: int = 0
    comparisons: int = 0
    ratio: float | None = None
    what: str = ""


@dataclass(frozen=True)
class Summary:
    """What a level's tests have measured.

    Args:
        level: The level.
        tests: How many there are.
        failed: Names of those that did not pass.
        examples: Random examples that its property-based tests passed.
        comparisons: Deviations that were compared with a bound.
        worst: Its tests with bounds, the largest ratio first.
        seconds: Time of its tests, added up.
    """

    level: Level
    tests: int
    failed: list[str]
    examples: int
    comparisons: int
    worst: list[Test]
    seconds: float

    @property
    def green(self) -> bool:
        """Whether there are tests and all have passed."""
        return self.tests > 0 and not self.failed


def read(path: Path) -> list[Test]:
    """What `pytest --evidence FILE` wrote.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It holds no test.
    """
    if not path.exists():
        raise FileNotFoundError(f"no {path}: run `nox -s trust`, or pytest --evidence {path}")
    tests: list[Test] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        tests.append(Test(record.pop("test"), **record))
    if not tests:
        raise ValueError(f"{path} holds no test: the run was cut short before the first")
    return tests


def summarise(tests: Sequence[Test], levels: Sequence[Level] = LEVELS) -> list[Summary]:
    """Every level's tests, counted.

    Args:
        tests: Tests, with their paths as names.
        levels: The levels; a test belongs to the first that fits.
    """
    return [
        _summary(level, [t for t in tests if _level_of(t, levels) is level]) for level in levels
    ]


def _level_of(test: Test, levels: Sequence[Level]) -> Level | None:
    return next((level for level in levels if test.name.startswith(level.tests)), None)


def _summary(level: Level, tests: Sequence[Test]) -> Summary:
    measured = [t for t in tests if t.ratio is not None]
    # NaN first: it is worse than any number
    measured.sort(key=lambda t: (t.ratio == t.ratio, -(t.ratio or 0.0)))
    return Summary(
        level,
        len(tests),
        [t.name for t in tests if t.outcome != "passed"],
        sum(t.examples for t in tests),
        sum(t.comparisons for t in tests),
        measured,
        sum((t.seconds for t in tests), 0.0),
    )
