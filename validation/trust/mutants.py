"""What mutation testing found: the score, and every survivor with its reason.

`nox -s mutants` runs mutmut and then this; `nox -s mutants -- --sample 300` so many mutants drawn at
random: an hour instead of a day, and a score with an interval. mutmut leaves one file of exit codes
beside each module that it mutated; a survivor's change is what `mutmut show` prints of it. The reasons
stand in mutants.toml, by function and change, so that they outlive mutmut's numbering.
"""

import argparse
import json
import random
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

__all__ = ["Mutant", "Reason", "read", "reasons", "sample", "summary"]

SURVIVED = {0, 5, 33}  # pytest passed, or had no test to run
UNTESTED = {None, 34}


@dataclass(frozen=True)
class Mutant:
    """One mutant.

    Args:
        name: mutmut's name, "refimpl.fast.kfac.x_f__mutmut_3".
        file: The module's path.
        killed: Whether a test turned red (or the mutant ran into its time limit, or crashed).
    """

    name: str
    file: str
    killed: bool

    @property
    def function(self) -> str:
        """The function that was changed, "KFAC._solve"."""
        mangled = self.name.rsplit("__mutmut_", 1)[0].rsplit(".", 1)[1]
        if "ǁ" in mangled:  # xǁKFACǁ_solve
            return mangled.removeprefix("xǁ").replace("ǁ", ".")
        return mangled.removeprefix("x_")


@dataclass(frozen=True)
class Reason:
    """Why a survivor may live.

    Args:
        function: The function, or "*" for any.
        change: A regular expression that the change's text matches from its start.
        reason: Why.
    """

    function: str
    change: str
    reason: str

    def explains(self, mutant: Mutant, change: str) -> bool:
        """Whether this is the reason of a survivor's change."""
        named = self.function in ("*", mutant.function)
        return named and re.match(self.change, change, re.DOTALL) is not None


def read(folder: Path) -> list[Mutant]:
    """The mutants that were tested.

    Args:
        folder: mutmut's folder, "mutants".

    Raises:
        ValueError: None was.
    """
    mutants: list[Mutant] = []
    for path in sorted(folder.rglob("*.meta")):
        file = str(path.relative_to(folder)).removesuffix(".meta")
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        mutants += [
            Mutant(name, file, code not in SURVIVED)
            for name, code in codes.items()
            if code not in UNTESTED
        ]
    if not mutants:
        raise ValueError(f"no mutant in {folder} was tested: run `nox -s mutants`")
    return mutants


def sample(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Names of mutants drawn at random, the same for the same mutants.

    Args:
        folder: mutmut's folder, with all mutants.
        count: How many.
        seed: Of the draw.
    """
    names = [name for codes in _codes(folder) for name in codes]
    return random.Random(seed).sample(sorted(names), min(count, len(names)))


def _codes(folder: Path) -> list[dict[str, int | None]]:
    paths = sorted(folder.rglob("*.meta"))
    return [json.loads(p.read_text(encoding="utf-8"))["exit_code_by_key"] for p in paths]


def reasons(path: Path) -> list[Reason]:
    """The reasons of mutants.toml."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["reason"]
    return [Reason(r["function"], r["change"], r["reason"]) for r in listed]


def show(mutant: Mutant) -> str:
    """What a mutant changes: the lines taken away and put in their place."""
    run = subprocess.run(
        ["mutmut", "show", mutant.name], capture_output=True, text=True, check=True
    )
    lines = [line for line in run.stdout.splitlines() if re.match(r"[-+](?![-+]{2})", line)]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def summary(
    mutants: Sequence[Mutant],
    known: Sequence[Reason],
    changes: Callable[[Mutant], str],
    *,
    generated: int,
    version: str,
) -> dict[str, Any]:
    """The plain data of reports/baseline/mutants.json.

    Args:
        mutants: Those tested.
        known: The reasons.
        changes: What a mutant changes.
        generated: How many mutants there are, tested or not.
        version: mutmut's.
    """
    by_module: dict[str, dict[str, int]] = {}
    survivors: list[dict[str, Any]] = []
    used: set[Reason] = set()
    for mutant in mutants:
        counts = by_module.setdefault(mutant.file, {"total": 0, "killed": 0})
        counts["total"] += 1
        counts["killed"] += mutant.killed
        if mutant.killed:
            continue
        change = changes(mutant)
        reason = next((r for r in known if r.explains(mutant, change)), None)
        if reason is not None:
            used.add(reason)
        survivors.append(
            {
                "mutant": mutant.name,
                "file": mutant.file,
                "function": mutant.function,
                "change": change,
                "reason": reason.reason if reason else None,
            }
        )
    killed = sum(counts["killed"] for counts in by_module.values())
    return {
        "tool": "mutmut",
        "version": version,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "generated": generated,
        "total": len(mutants),
        "killed": killed,
        "score": killed / len(mutants),
        "interval": _interval(killed, len(mutants), generated),
        "by_module": by_module,
        "survivors": survivors,
        "stale": [r.reason for r in known if r not in used] if len(mutants) == generated else [],
    }


def _interval(killed: int, tested: int, generated: int) -> list[float]:
    """95 % interval of the score of all mutants (Clopper-Pearson); the score where all were tested."""
    if tested == generated:
        return [killed / tested] * 2
    interval = binomtest(killed, tested).proportion_ci(method="exact")
    return [interval.low, interval.high]


def complaints(score: Mapping[str, Any], least: float) -> list[str]:
    """What is wrong with a result: a score below the least, survivors without a reason, stale reasons."""
    wrong = [
        f"{s['file']} {s['function']} survives without a reason:\n{s['change']}"
        for s in score["survivors"]
        if s["reason"] is None
    ]
    wrong += [f"no survivor has this reason any more: {reason}" for reason in score["stale"]]
    if score["score"] < least:
        wrong.append(f"score {100 * score['score']:.1f} % is below {100 * least:g} %")
    return wrong


def main(
    count: int | None = None,
    folder: Path = Path("mutants"),
    out: Path = Path("reports/baseline/mutants.json"),
) -> None:
    """Write the summary; exit with 1 when something is wrong with it.

    Args:
        count: Of the sample of so many alone.
        folder: mutmut's.
        out: Where to write it.
    """
    chosen = None if count is None else set(sample(folder, count))
    score = summary(
        [m for m in read(folder) if chosen is None or m.name in chosen],
        reasons(Path(__file__).with_name("mutants.toml")),
        show,
        generated=sum(map(len, _codes(folder))),
        version=version("mutmut"),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(score, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{score['killed']} of {score['total']} mutants killed ({100 * score['score']:.1f} %)")
    if wrong := complaints(score, 0.9):
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sample", type=int, help="so many mutants, drawn at random")
    arguments.add_argument("--names", action="store_true", help="print the names of the sample")
    given = arguments.parse_args()
    if given.names:
        print("\n".join(sample(Path("mutants"), given.sample)))
    else:
        main(given.sample)
