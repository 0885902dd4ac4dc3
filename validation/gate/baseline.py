"""The regression gate: a new run's figures against the intervals of a committed baseline."""

import json
import math
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.parts.dependencies import environment
from validation.parts.saved import write_atomically

__all__ = ["BadBaseline", "Departure", "departures", "figures_of", "read", "write"]

FORMAT = 1
AGREEMENT = ("seed", "reference", "damping", "curvature", "statistic")
# Keys of each kind of record; the first kind has intervals, counts of the others must not change.
KINDS = {
    "agreement": AGREEMENT,
    "claims": ("claim", "source"),
    "responses": ("seed", "reference", "damping"),
    "solves": ("seed", "damping", "curvature"),
}
# The least half-width of an interval, for figures that every query has alike and whose interval has
# no width: the agreement of what is the same by theory, 1 if a correlation, 0 if an error. Another
# order of summation moves those. Two backward stable solves of one system differ by 2 kappa P eps each:
# with P <= 3,000 parameters and kappa = (||G|| + lambda) / lambda <= 1e5 at the studies' dampings,
# 2 * 2 * 1e5 * 3000 * 2.2e-16 = 2.7e-7, and the next power of ten is taken. A correlation of scores that
# are wrong by d is 1 - d^2 / 2, so that this lets d = 1.4e-3 pass; the error of the products beside it is
# d itself, and does not. Where queries differ the interval is wider by far and this is nothing.
ROUNDING = 1e-6

Key = tuple[str, ...]


class BadBaseline(ValueError):
    """A baseline file cannot be read as one."""


@dataclass(frozen=True)
class Departure:
    """A figure that is not what the baseline has.

    Args:
        study: Name of the study.
        figure: What it is: kind of record, then seed, reference, damping, curvature, statistic, ...
        value: The new run's figure; None where it is missing or not a number.
        low: Lower end of the baseline's interval; None where it has none.
        high: Its upper end.
        reason: "left its interval", "missing", "new", "no longer a number", ...
        fails: Whether it fails the gate.
    """

    study: str
    figure: Key
    value: float | None
    low: float | None
    high: float | None
    reason: str
    fails: bool = True


def figures_of(results: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The figures of a study's results that a baseline keeps, with their intervals and the reason.

    Args:
        results: The plain data of a page; only "name", "agreement", "claims", "responses" and "solves"
            are read, and of these only the first two must be there.
        reason: Why the baseline changes.

    Raises:
        ValueError: There is no reason, or two records of one kind have the same key.
    """
    if not reason.strip():
        raise ValueError('a baseline changes for a reason: --update --reason "why"')
    records = {
        "agreement": results["agreement"],
        "claims": results.get("claims", []),
        "responses": [_unsolved(r) for r in results.get("responses", [])],
        "solves": [r | {"value": r["missed"]} for r in results.get("solves", [])],
    }
    figures: dict[str, Any] = {
        "format": FORMAT,
        "study": results["name"],
        "reason": reason,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": {"python": platform.python_version(), **environment()},
    }
    for kind, names in KINDS.items():
        figures[kind] = [
            {**{n: r[n] for n in names}, **{n: _number(r.get(n)) for n in ("value", "low", "high")}}
            for r in records[kind]
        ]
        _keyed(figures[kind], kind)
    return figures


def departures(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Departure]:
    """Every figure of a new run that is new, missing, or outside the old baseline's interval.

    A value may lie in the baseline's interval, widened by ROUNDING; a count of unconverged solves,
    and a value without an interval, must be the same. None agrees with None alone. A missing
    figure fails; a new one is only named.

    Args:
        old: The committed baseline.
        new: `figures_of` the new run.
    """
    departed: list[Departure] = []
    for kind in KINDS:
        before, after = _keyed(old[kind], kind), _keyed(new[kind], kind)
        for key, record in before.items():
            low, high = _interval(record)
            if key not in after:
                departed.append(Departure(old["study"], key, None, low, high, "missing"))
                continue
            value = after[key]["value"]
            if (value is None) != (record["value"] is None):
                reason = "no longer a number" if value is None else "was no number"
            elif value is None or (low is not None and low <= value <= high):
                continue
            else:
                reason = "left its interval"
            departed.append(Departure(old["study"], key, value, low, high, reason))
        departed += [
            Departure(old["study"], key, after[key]["value"], None, None, "new", fails=False)
            for key in after.keys() - before.keys()
        ]
    return departed


def read(path: Path) -> dict[str, Any]:
    """A committed baseline, checked.

    Args:
        path: The file.

    Raises:
        BadBaseline: It is not there, no JSON, or lacks something.
    """
    mend = 'write it with `nox -s validate -- --update --reason "why"`'
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise BadBaseline(f"no baseline {path}: {mend}") from None
    except ValueError as error:
        raise BadBaseline(f"{path} is no strict JSON ({error}): {mend}") from None
    if wrong := next(_mistakes(content), None):
        raise BadBaseline(f"{path} is no baseline of format {FORMAT}: {wrong}; {mend}")
    return content


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Write a baseline; one record a line, so that a difference can be read.

    Args:
        path: The file.
        figures: From `figures_of`.
    """
    lines = [
        f"{json.dumps(k)}: "
        + ("[\n" + ",\n".join(map(_strict, v)) + "\n]" if k in KINDS and v else _strict(v))
        for k, v in figures.items()
    ]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _interval(record: Mapping[str, Any]) -> tuple[float | None, float | None]:
    value = record["value"]
    if value is None:
        return None, None
    low, high = (value if record[end] is None else record[end] for end in ("low", "high"))
    slack = ROUNDING * max(1.0, abs(value))
    return low - slack, high + slack


def _keyed(records: Iterable[Mapping[str, Any]], kind: str) -> dict[Key, Mapping[str, Any]]:
    by_key: dict[Key, Mapping[str, Any]] = {}
    for record in records:
        key = (kind, *(f"{name} {_written(record[name])}" for name in KINDS[kind]))
        if key in by_key:
            raise ValueError(f"two records are both {', '.join(key)}")
        by_key[key] = record
    return by_key


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _unsolved(responses: Mapping[str, Any]) -> dict[str, Any]:
    """How many retrainings of one kind did not converge."""
    return {**responses, "value": sum(not c for c in responses["converged"])}


def _number(value: Any) -> float | None:
    """A number, or None where it is none or not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def _mistakes(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield "it is no object"
        return
    if content.get("format") != FORMAT:
        yield f"format is {content.get('format')!r}"
    for name, kind in (("study", str), ("reason", str), ("date", str), ("versions", dict)):
        if not isinstance(content.get(name), kind) or not content[name]:
            yield f"{name!r} is missing or empty"
    for kind, names in KINDS.items():
        if not isinstance(content.get(kind), list):
            yield f"{kind!r} is no list"
            return
        for record in content[kind]:
            if not isinstance(record, dict) or set(record) != {*names, "value", "low", "high"}:
                yield f"a record of {kind!r} is {record!r}"
                return
            for name in ("value", "low", "high"):
                number = record[name]
                if isinstance(number, bool) or not isinstance(number, (int, float, type(None))):
                    yield f"{name!r} of {record!r} is no number"
                    return


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _strict(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
