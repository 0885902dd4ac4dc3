"""Flags: what in the input of a case or vector makes a mistake visible; `flags.toml` has their notes."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from refimpl.oracle.faults.fault import BugType

__all__ = ["FLAGS", "LICENCES", "Note", "lint_flags"]


@dataclass(frozen=True)
class Note:
    """The meaning of a flag.

    Args:
        bug_type: Kind of mistake that it shows.
        effect: Effect of the mistake on the answer.
        links: Public threads, as owner/repository#number.
    """

    bug_type: BugType
    effect: str
    links: tuple[str, ...] = ()


FLAGS: dict[str, Note] = {
    flag: Note(entry["bug_type"], entry["effect"], tuple(entry.get("links", ())))
    for flag, entry in tomllib.loads(
        files("refimpl.oracle.vectors").joinpath("flags.toml").read_text("utf-8")
    ).items()
}

# Flags that allow a vector's `expect` to be "either".
LICENCES = ("RankDeficientNoDamping", "EmptyExample", "OneClass")


def lint_flags(used: Mapping[str, Iterable[str]]) -> list[str]:
    """List the flags without a note, and the notes without a use.

    Args:
        used: Flags by the id of the case or vector.
    """
    wrong = [
        f"{id}: flag {flag!r} has no note in refimpl/oracle/vectors/flags.toml"
        for id, flags in used.items()
        for flag in flags
        if flag not in FLAGS
    ]
    seen = {flag for flags in used.values() for flag in flags}
    return wrong + [f"flag {flag!r} is used by nothing" for flag in FLAGS if flag not in seen]
