"""Honest implementations, in each convention, on cases of many seeds: no check may fail or break.

They are refimpl, the oracle's second one, and that with its inverses formed; conventions change one at a
time, and in a combination that each seed draws. refimpl is asked in all of them on every seed, the two
others in some. Dtypes coarser than float32, in which none computes, are left out.
"""

import json
import random
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import filelock
from hypothesis import HealthCheck, Phase, given, seed as seeded, settings

from refimpl.oracle.cases import RECIPES, drawn
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.outcomes import outcomes_of
from refimpl.oracle.selftest.honest import KINDS, implementation, questions, variants
from refimpl.oracle.subject.in_process import InProcess
from validation.parts.dependencies import ROOT
from validation.parts.saved import source_hash

__all__ = ["ask_seed", "case_of", "chosen_for", "combination", "name_of", "read", "run", "summary"]

WRONG = (Verdict.FAIL, Verdict.ERROR)
# Seeds handed out: enough for some cores, few enough to lose little when a run is stopped.
AT_ONCE = 8
# Sources on which no verdict depends: they reach adapters, write reports or use verdicts.
NEVER_ASKED = (
    "cli/",
    "report/",
    "oracle/diagnosis/",
    "oracle/faults/",
    "oracle/results/badge.py",
    "oracle/results/html.py",
    "oracle/results/junit.py",
    "oracle/results/lines.py",
    "oracle/results/terminal.py",
    "oracle/run/plugin.py",
    "oracle/run/runner.py",
    "oracle/run/smoke.py",
    "oracle/selftest/explanations.py",
    "oracle/selftest/fault_matrix.py",
    "oracle/selftest/margins.py",
    "oracle/selftest/measured.py",
    "oracle/selftest/pages.py",
    "oracle/subject/external.py",
    "oracle/subject/start.py",
    "oracle/subject/serve.py",
    "oracle/vectors/",
)
COMBINED = "several at once, drawn by each seed"
FIRST = "reference"  # of the honest ones: asked in all variants
Record = dict[str, Any]
Chosen = tuple[Mapping[str, str], str]  # a variant, and which of the honest ones


def case_of(seed: int) -> Case:
    """The case of a seed: of the oracle's recipes with other numbers, and of drawn perceptrons, in turn.

    Spectra are not certified here: a check that they leave undecided must say `indeterminate`.

    Args:
        seed: Any number >= 0.
    """
    if seed % 2 == 0:
        names = sorted(RECIPES)
        name = names[seed // 2 % len(names)]
        return RECIPES[name](Draw(name, 1_000_000 + seed)).but(id=f"{name}, seed {seed}")
    cases: list[Case] = []

    @seeded(seed)
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn())
    def collect(case: Case) -> None:
        cases.append(case)

    collect()
    return cases[-1].but(id=f"drawn, seed {seed}")  # hypothesis's first example is always the least


def ask_seed(seed: int, chosen: Sequence[Chosen]) -> list[Record]:
    """The verdicts on the case of a seed.

    Args:
        seed: The seed.
        chosen: Who is asked, and in which variant; see `refimpl.oracle.selftest.honest`.
    """
    case = case_of(seed)
    return [_verdicts(seed, case, variant, kind) for variant, kind in chosen]


def _verdicts(seed: int, case: Case, variant: Mapping[str, str], kind: str) -> Record:
    outcomes = outcomes_of(InProcess(implementation(kind, variant)), case, questions(kind))
    return {
        "seed": seed,
        "variant": name_of(variant),
        "kind": kind,
        "code": code(),
        "case": case.id,
        "verdicts": dict(Counter(o.verdict.value for o in outcomes)),
        "wrong": [
            {"check": o.check, "mode": o.mode, "verdict": o.verdict.value, "detail": o.detail}
            for o in outcomes
            if o.verdict in WRONG
        ],
    }


@cache
def code() -> str:
    """A hash of the sources that a verdict depends on: records of other code do not count."""
    return source_hash(
        ROOT,
        [
            file
            for file in (ROOT / "refimpl").rglob("*.py")
            if not file.relative_to(ROOT / "refimpl").as_posix().startswith(NEVER_ASKED)
        ],
    )


def name_of(variant: Mapping[str, str]) -> str:
    """The name of a variant.

    Args:
        variant: Its conventions and curvature, as they differ from the defaults.
    """
    return ", ".join(f"{name}={choice}" for name, choice in variant.items()) or "defaults"


def combination(seed: int) -> dict[str, str]:
    """Several variants at once, as a seed draws them: each with a chance of a half.

    Args:
        seed: The seed.
    """
    rng, (_, *rest) = random.Random(seed), variants()
    combined: dict[str, str] = {}
    for variant in rng.sample(rest, len(rest)):
        if not combined.keys() & variant.keys() and rng.random() < 0.5:
            combined |= variant
    return combined


def chosen_for(seed: int, others: int) -> list[Chosen]:
    """Who is asked in what: all in the defaults, the seed's combination, and others in turn.

    Args:
        seed: The seed.
        others: Number of variants in which all are asked; in the rest the reference alone.
    """
    defaults, *rest = variants()
    first = seed % len(rest)
    turns = [*rest[first:], *rest[:first]]
    several = combination(seed)
    by_all = [defaults, *turns[:others]]
    by_all += [several] if several not in by_all else []
    by_one = [variant for variant in turns[others:] if variant != several]
    return [(v, kind) for v in by_all for kind in KINDS] + [(v, FIRST) for v in by_one]


def run(seeds: Sequence[int], path: Path, executor: Executor, others: int = 1) -> Iterator[int]:
    """Ask about every seed in its variants, adding to the file what is not there yet.

    Args:
        seeds: The seeds.
        path: JSON lines, one for each seed, variant and implementation.
        executor: Where; each seed is one task.
        others: As for `chosen_for`.

    Yields:
        How many seeds are done.

    Raises:
        filelock.Timeout: Another run writes to the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{path}.lock", timeout=0):
        yield from _run(seeds, path, executor, others)


def _run(seeds: Sequence[int], path: Path, executor: Executor, others: int) -> Iterator[int]:
    known = {(r["seed"], r["variant"], r["kind"]) for r in read(path)}
    missing = {
        s: [(v, k) for v, k in chosen_for(s, others) if (s, name_of(v), k) not in known]
        for s in seeds
    }
    asked_for = iter([(seed, chosen) for seed, chosen in missing.items() if chosen])
    done = sum(not chosen for chosen in missing.values())
    yield done
    running: set[Future[list[Record]]] = set()
    with path.open("a", encoding="utf-8") as file:
        while True:
            for seed, chosen in islice(asked_for, AT_ONCE - len(running)):
                running.add(executor.submit(ask_seed, seed, chosen))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for task in finished:
                file.writelines(json.dumps(record) + "\n" for record in task.result())
                file.flush()
                done += 1
                yield done


def read(path: Path) -> list[Record]:
    """What was asked of this code so far; a last line that was cut off is asked again.

    Args:
        path: As for `run`.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    records = [json.loads(line) for line in whole.splitlines()]
    return [record for record in records if record["code"] == code()]


def summary(records: Sequence[Record], seeds: Container[int]) -> dict[str, Any]:
    """One row a variant, and one for combinations: seeds, answers, those undecided, and false alarms.

    With the date, and what `code` gives; "by_all" counts the seeds on which all implementations were
    asked, and "combined" those on which other variants were declared too.

    Args:
        records: From `read`.
        seeds: Which of them count.
    """
    rows: list[dict[str, Any]] = []
    asked_in: dict[str, list[Record]] = {name: [] for name in [*map(name_of, variants()), COMBINED]}
    for record in records:
        if record["seed"] in seeds:
            asked_in.get(record["variant"], asked_in[COMBINED]).append(record)
    drawn = asked_in[COMBINED]
    for variant, answers in asked_in.items():
        counts = sum((Counter(r["verdicts"]) for r in answers), Counter())
        by_kind = [{r["seed"] for r in answers if r["kind"] == kind} for kind in KINDS]
        rows.append(
            {
                "variant": variant,
                "seeds": len(set().union(*by_kind)),
                "by_all": len(set.intersection(*by_kind)),
                "combined": len(
                    {r["seed"] for r in drawn if _parts(variant) < _parts(r["variant"])}
                ),
                "passed": counts[Verdict.PASS.value],
                "indeterminate": counts[Verdict.INDETERMINATE.value],
                "unsupported": counts[Verdict.UNSUPPORTED.value],
                "wrong": [
                    f"{r['case']}, {r['kind']}: {w['check']} ({w['mode']}) {w['verdict']}"
                    for r in answers
                    for w in r["wrong"]
                ],
            }
        )
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "sources": code(), "rows": rows}


def _parts(variant: str) -> set[str]:
    return set(variant.split(", "))
