"""Measure the benches, each part in a process of its own, resuming what is saved; write their page."""

import fnmatch
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from validation.bench import BENCHES, page
from validation.bench.measure import product_rate
from validation.bench.provenance import provenance_of
from validation.parts.progress import Progress
from validation.parts.runner import run, saved_part
from validation.parts.saved import Result, source_hash
from validation.parts.study import Config, Part, Study

__all__ = ["Options", "best_threads", "measure_benches", "only_parts", "write_page"]

HERE = Path(__file__).parent
# They draw what was measured: no part is measured again when they change.
DRAWING = (
    "command.py",
    "drawings.py",
    "measurements.py",
    "page.py",
    "provenance.py",
    "tables.py",
    "targets.py",
)


@dataclass(frozen=True)
class Options:
    """How benches are measured.

    Args:
        device: Where to compute, as torch names it.
        clock: "wall", or "cpu" on a machine that others use at the same time: see `measure.timed`.
        quick: Whether at small sizes.
    """

    device: str
    clock: str
    quick: bool

    def config(self, study: Study) -> Config:
        """The configuration of a bench.

        Args:
            study: The bench.
        """
        sizes = study.quick if self.quick else {}
        how = {"code": code(), "device": self.device, "clock": self.clock}
        return {**study.config, **sizes, **how}


def best_threads() -> int:
    """All cores, or one where that multiplies as fast: two threads of one core only wait in turns."""
    before = torch.get_num_threads()
    try:
        rates = {}
        for count in {1, before}:
            torch.set_num_threads(count)
            rates[count] = product_rate(1500, torch.float64, {"device": "cpu", "clock": "wall"})
    finally:
        torch.set_num_threads(before)
    return before if rates[before] > 1.1 * rates[1] else 1


@contextmanager
def fresh_processes() -> Iterator[Executor]:
    """One process a part, one at a time, so that no part has another's memory or warmth."""
    with ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(torch.get_num_threads(),),
        max_tasks_per_child=1,
    ) as pool:
        yield pool


def measure_benches(
    names: Sequence[str],
    out: Path,
    options: Options,
    pattern: str,
    *,
    threads: int,
    fresh: bool,
    console: Console,
) -> None:
    """Measure the parts of benches that are not saved yet.

    Args:
        names: Benches.
        out: Folder with a folder of parts for each bench.
        options: How to measure.
        pattern: Of the parts to measure, as in a shell ("alone/*").
        threads: torch's threads; 0: as many as multiply fastest.
        fresh: Whether to measure again what is saved.
        console: Where to print progress.
    """
    torch.set_num_threads(threads or best_threads())
    with fresh_processes() as pool:
        for name in names:
            study, config = only_parts(BENCHES[name], pattern), options.config(BENCHES[name])
            if study.parts(config):
                run(
                    study,
                    out / name,
                    config=config,
                    executor=pool,
                    fresh=fresh,
                    progress=Progress(console),
                )


def write_page(out: Path, options: Options) -> Path:
    """Write the page of all parts that are saved; the path of bench.html.

    Args:
        out: Folder of the page, with a folder of parts for each bench.
        options: How they were measured.
    """
    saved: dict[str, dict[str, Result]] = {}
    for name, study in BENCHES.items():
        for part in study.parts(options.config(study)):
            if (result := saved_part(out / name, part.name)) is not None:
                saved.setdefault(name, {})[part.name] = result
    values = {n: {part: r.values for part, r in parts.items()} for n, parts in saved.items()}
    results = [r for parts in saved.values() for r in parts.values()]
    provenance = provenance_of(results, options.device, options.clock)
    return page.write(page.results(values, provenance), out)


def code() -> str:
    """A hash of the benches' shared files: a part is measured again when they change."""
    return source_hash(HERE, [f for f in HERE.glob("*.py") if f.name not in DRAWING])[:12]


def only_parts(study: Study, pattern: str) -> Study:
    """A study with the parts whose names fit a pattern, and those that they need.

    Args:
        study: The study.
        pattern: As in a shell ("alone/*").
    """

    def parts(config: Config) -> list[Part]:
        everything: list[Any] = list(study.parts(config))
        names = {p.name for p in everything if fnmatch.fnmatch(p.name, pattern)}
        names |= {need for p in everything if p.name in names for need in p.needs}
        return [p for p in everything if p.name in names]

    return replace(study, parts=parts)
