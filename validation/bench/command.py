"""Run the benches, each part in a process of its own, resuming what is saved, and write their page."""

import fnmatch
import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import refimpl
from validation.bench import BENCHES, page
from validation.bench.measure import product_rate
from validation.parts.progress import Progress
from validation.parts.runner import run, saved_part
from validation.parts.saved import Result, source_hash
from validation.parts.study import Config, Study

__all__ = ["bench", "best_threads"]

HERE = Path(__file__).parent


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


def bench(
    names: Sequence[str],
    out: Path,
    *,
    device: str,
    clock: str,
    pattern: str,
    quick: bool,
    fresh: bool,
    from_saved: bool,
    progress: Progress,
) -> Path:
    """Measure what is missing, and write the page of all that is there.

    Args:
        names: Benches.
        out: Folder of the page, with a folder of parts for each bench.
        device: Where to compute, as torch names it.
        clock: "wall", or "cpu" on a machine that others use at the same time: see `measure.timed`.
        pattern: Of the parts to measure, as in a shell ("alone/*").
        quick: Small sizes.
        fresh: Whether to measure again what is saved.
        from_saved: Whether to measure nothing.
        progress: Where to report.

    Returns:
        The path of bench.html.
    """
    configs = {
        name: _config(study, quick) | {"device": device, "clock": clock}
        for name, study in BENCHES.items()
    }
    if not from_saved:
        with fresh_processes() as pool:
            for name in names:
                study = _only(BENCHES[name], pattern)
                if study.parts(configs[name]):
                    run(
                        study, out / name, config=configs[name], executor=pool, fresh=fresh,
                        progress=progress,
                    )  # fmt: skip
    found: dict[str, dict[str, Result]] = {}
    for name, study in BENCHES.items():
        for part in study.parts(configs[name]):
            if (result := saved_part(out / name, part.name)) is not None:
                found.setdefault(name, {})[part.name] = result
    values = {n: {part: r.values for part, r in parts.items()} for n, parts in found.items()}
    made = [r.made for parts in found.values() for r in parts.values()]
    return page.write(page.results(values, _provenance(device, clock, made)), out)


def _config(study: Study, quick: bool) -> dict[str, Any]:
    changed = study.quick if quick else {}
    return {**study.config, **changed, "code": _code()}


def _code() -> str:
    """Of the benches' shared files: a part is measured again when they change."""
    drawing = ("command.py", "drawings.py", "found.py", "page.py", "tables.py", "targets.py")
    return source_hash(HERE, [f for f in HERE.glob("*.py") if f.name not in drawing])[:12]


def _only(study: Study, pattern: str) -> Study:
    """A study's parts whose names fit a pattern, and those that they need."""

    def parts(config: Config) -> list[Any]:
        everything = list(study.parts(config))
        wanted = {p.name for p in everything if fnmatch.fnmatch(p.name, pattern)}
        wanted |= {need for p in everything if p.name in wanted for need in p.needs}
        return [p for p in everything if p.name in wanted]

    return replace(study, parts=parts)


def _provenance(device: str, clock: str, made: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What made the numbers, by what each part's result says of itself."""
    libraries = {"python": platform.python_version()}
    for name in ("torch", "numpy", "curvlinops-for-pytorch", "kronfluence"):
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            libraries[name] = "not installed here"
    where = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    threads = sorted({str(m["environment"]["threads"]) for m in made})
    codes = sorted({m["code"][:12] for m in made})
    return {
        "measured": " to ".join(sorted({min((m["at"] for m in made), default="never"),
                                        max((m["at"] for m in made), default="never")})),
        "refimpl": f"{refimpl.__version__}, sources {', '.join(codes)}",
        "libraries": ", ".join(f"{n} {v}" for n, v in libraries.items()),
        "machine": f"{platform.system()} {platform.machine()}, {where}, {' or '.join(threads)} thread(s) "
        f"of {os.cpu_count()}: as many as multiply matrices fastest",
        "times": "medians of 5 after a first call that does not count, contenders in turns; of fewer, as "
        "said beside them, where a run takes long; "
        + {
            "wall": "by the clock on the wall",
            "cpu": "seconds of the processor, since others worked on this machine meanwhile: what "
            "waits for files is not in them",
        }[clock],
    }  # fmt: skip


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
