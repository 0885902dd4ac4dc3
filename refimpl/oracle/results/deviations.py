"""deviations.toml: the known deviations of an implementation, each with a reason.

[[deviation]]
id = "tokens/*::factors::factor-s-*"   # a glob over whole ids: case::stage::check::mode
reason = "masked tokens count, as in the paper that we follow"
link = "https://example.org/our-project/issues/12"
expires = 2027-06-30
verdict = "fail"                       # or "error"; "fail" where it is not said
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from refimpl.oracle.results.outcome import Outcome, Verdict

__all__ = ["BadDeviations", "Deviation", "declared", "find", "read"]


class BadDeviations(ValueError):
    """The file does not have the expected form; the text says what it is."""


@dataclass(frozen=True)
class Deviation:
    """One entry of deviations.toml.

    Args:
        id: Glob over whole outcome ids, `case::stage::check::mode`; without "::mode" both are meant.
        reason: Why.
        link: Address of its discussion.
        expires: From then on it excuses nothing under `--strict`.
        verdict: Verdict that it excuses: "fail" or "error".
    """

    id: str
    reason: str
    link: str
    expires: date
    verdict: str = "fail"

    def covers(self, identity: str) -> bool:
        """Whether the entry is about an outcome."""
        return fnmatchcase(identity, self.id) or fnmatchcase(identity.rpartition("::")[0], self.id)


def read(path: Path) -> tuple[Deviation, ...]:
    """Read the entries of a file.

    Raises:
        BadDeviations: It cannot be read, or an entry lacks a key, has one that there is not, or one
            of another type.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadDeviations(f"{path} cannot be read: {error}") from None
    entries = plain.get("deviation", [])
    if set(plain) - {"deviation"} or not isinstance(entries, list):
        raise BadDeviations(f"{path} may hold [[deviation]] tables only, got {sorted(plain)}")
    return tuple(_entry(entry, f"{path}, deviation {i + 1}") for i, entry in enumerate(entries))


def _entry(plain: Any, where: str) -> Deviation:
    types = {"id": str, "reason": str, "link": str, "expires": date, "verdict": str}
    if not isinstance(plain, dict):
        raise BadDeviations(f"{where} must be a table")
    if missing := [k for k in types if k != "verdict" and k not in plain]:
        raise BadDeviations(f"{where} needs {', '.join(missing)}")
    if unknown := sorted(set(plain) - set(types)):
        raise BadDeviations(f"{where} has no place for {', '.join(unknown)}")
    for name, value in plain.items():
        if type(value) is not types[name] or value == "":
            kind = "a date like 2027-06-30" if name == "expires" else "text"
            raise BadDeviations(f"{where}: {name} must be {kind}, got {value!r}")
    if plain.get("verdict", "fail") not in ("fail", "error"):
        raise BadDeviations(f"{where}: verdict must be fail or error, got {plain['verdict']!r}")
    return Deviation(**plain)


def find(identity: str, deviations: Sequence[Deviation]) -> Deviation | None:
    """The first deviation about an outcome.

    Args:
        identity: The outcome's id.
        deviations: Entries of deviations.toml; the first that covers it counts.
    """
    return next((d for d in deviations if d.covers(identity)), None)


def declared(outcome: Outcome, deviations: Sequence[Deviation]) -> Outcome:
    """Apply the deviations to an outcome: `deviates`, `stale`, or unchanged.

    Args:
        outcome: The outcome.
        deviations: Entries of deviations.toml; the first that covers it counts.
    """
    deviation = find(outcome.id, deviations)
    if deviation is None:
        return outcome
    if outcome.verdict is Verdict.PASS:
        detail = f"declared to {deviation.verdict} ({deviation.reason}), but it passes"
        return replace(outcome, verdict=Verdict.STALE, detail=f"{detail}: remove the entry")
    if outcome.verdict.value != deviation.verdict:
        return outcome
    detail = f"{deviation.reason} ({deviation.link}); {outcome.detail}"
    return replace(outcome, verdict=Verdict.DEVIATES, detail=detail)
