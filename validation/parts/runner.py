"""Run a study: its parts in order of need, each saved as it finishes, through any Executor."""

import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from validation.parts import dependencies
from validation.parts.progress import Progress
from validation.parts.saved import Result, fingerprint, load, save
from validation.parts.study import Config, Earlier, Study, Work

__all__ = [
    "Busy",
    "InProcess",
    "PartsFailed",
    "Run",
    "run",
    "saved_part",
    "saved_run",
]


class Busy(RuntimeError):
    """Another run writes to the same folder."""


class PartsFailed(RuntimeError):
    """Some parts of a study failed; whatever else could be computed is saved."""


@dataclass(frozen=True)
class Run:
    """What a run of a study gave: results by seed and part name, and how many were found saved."""

    results: dict[int, dict[str, Result]]
    reused: int
    computed: int


class InProcess(Executor):
    """Runs each task where it is submitted, before `submit` returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function now and return its finished future."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run(
    study: Study,
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    config: Config | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Compute what is missing of a study and return all of it.

    A part is taken from the folder when its key, a hash of everything that it depends on, is
    unchanged: study, part, configuration, seed, sources of refimpl and of the study, versions of
    the numerical libraries, thread count, and the keys of the parts that it needs.

    Args:
        study: The study.
        folder: Where its parts are saved.
        seeds: Every part is run for each of them.
        config: Replaces the study's configuration.
        executor: What runs the parts; default: this process, one after the other.
        fresh: Whether to compute everything anew.
        progress: Where to report; default: nowhere.

    Returns:
        Results by seed and name, always as read back from disk, so that a resumed run and an
        uninterrupted one cannot differ in types or digits.

    Raises:
        Busy: Another run holds the folder.
        PartsFailed: Some parts failed; it names them, and what could not run for their sake.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Busy(
            f"another run is writing to {folder}: wait for it to end, or choose another folder "
            "with --out"
        ) from None
    try:
        return _Runner(study, folder, seeds, config, progress or Progress(None)).run(
            executor or InProcess(), fresh
        )
    finally:
        lock.release()


def saved_run(
    study: Study, folder: Path, *, seeds: Sequence[int] = (0,), config: Config | None = None
) -> Run:
    """What is saved of a study, whatever code made it.

    Args:
        study: The study.
        folder: Where its parts are saved.
        seeds: Which seeds.
        config: Replaces the study's configuration.

    Raises:
        FileNotFoundError: Some part is not there.
    """
    config = study.config if config is None else config
    results: dict[int, dict[str, Result]] = {}
    for seed in seeds:
        results[seed] = {}
        for part in study.parts(config):
            result = saved_part(folder, part.name, seed=seed)
            if result is None:
                raise FileNotFoundError(
                    f"no saved result of part {part.name!r} (seed {seed}) in {folder}: "
                    f"run `python -m validation report {study.name}` first"
                )
            results[seed][part.name] = result
    return Run(results, reused=sum(map(len, results.values())), computed=0)


def saved_part(folder: Path, name: str, *, seed: int = 0) -> Result | None:
    """What is saved of one part, whatever code made it; None where nothing is.

    Args:
        folder: Where the study's parts are saved.
        name: The part's.
        seed: Which seed.
    """
    return load(_path(folder, seed, name), None)


class _Runner:
    def __init__(
        self,
        study: Study,
        folder: Path,
        seeds: Sequence[int],
        config: Config | None,
        progress: Progress,
    ) -> None:
        self.study, self.folder, self.progress = study, folder, progress
        self.config = dict(study.config if config is None else config)
        self.parts = {(seed, p.name): p for seed in seeds for p in study.parts(self.config)}
        if len(self.parts) != len(seeds) * len(study.parts(self.config)):
            raise ValueError(f"study {study.name!r} has two parts of one name, or a seed twice")
        self.code, self.environment = dependencies.code_version(study), dependencies.environment()
        self.keys = self._keys()
        self.results: dict[tuple[int, str], Result] = {}
        self.failed: dict[tuple[int, str], BaseException] = {}

    def _keys(self) -> dict[tuple[int, str], str]:
        keys: dict[tuple[int, str], str] = {}
        for (seed, name), part in self.parts.items():
            for need in part.needs:
                if (seed, need) not in keys:
                    raise ValueError(f"part {name!r} needs {need!r}, which is not listed before it")
            keys[seed, name] = fingerprint(
                self.study.name,
                name,
                self.config,
                part.options,
                seed,
                self.code,
                self.environment,
                [keys[seed, need] for need in part.needs],
            )
        return keys

    def run(self, executor: Executor, fresh: bool) -> Run:
        if not fresh:
            for at, key in self.keys.items():
                if (saved := load(_path(self.folder, *at), key)) is not None:
                    self.results[at] = saved
        reused = len(self.results)
        with self.progress.study(self.study.name, len(self.parts), reused):
            self._compute(executor)
        if self.failed:
            raise PartsFailed(self._complaint())
        ordered: dict[int, dict[str, Result]] = {}
        for seed, name in self.parts:
            ordered.setdefault(seed, {})[name] = self.results[seed, name]
        return Run(ordered, reused, len(self.parts) - reused)

    def _compute(self, executor: Executor) -> None:
        running: dict[Future[Result], tuple[int, str]] = {}
        waiting = [at for at in self.parts if at not in self.results]
        while waiting or running:
            before = len(waiting)
            for at in list(waiting):
                part = self.parts[at]
                if any((at[0], need) not in self.results for need in part.needs):
                    continue
                config = {**self.config, **part.options, "seed": at[0]}
                earlier = {need: part.given(self.results[at[0], need]) for need in part.needs}
                self.progress.started(at)
                running[executor.submit(_timed, part.work, config, earlier)] = at
                waiting.remove(at)
                # An in-process executor has finished it by now: save it before the next begins.
                self._collect(running, [future for future in running if future.done()])
            if running:
                self._collect(running, wait(running, return_when=FIRST_COMPLETED).done)
            elif len(waiting) == before:
                return  # whatever still waits needs a part that failed

    def _collect(self, running: dict[Future[Result], tuple[int, str]], done: Any) -> None:
        for future in done:
            at = running.pop(future)
            try:
                path = _path(self.folder, *at)
                now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
                made = {"at": now, "code": self.code, "environment": self.environment}
                save(path, self.keys[at], replace(future.result(), made=made))
                result = load(path, self.keys[at])
                assert result is not None, f"{path} cannot be read back"
                self.results[at] = result
                self.progress.finished(at, result.seconds)
            except Exception as error:
                self.failed[at] = error
                self.progress.failed(at, error)

    def _complaint(self) -> str:
        missing = [at for at in self.parts if at not in self.results and at not in self.failed]
        (seed, name), first = next(iter(self.failed.items()))
        lines = [
            f"study {self.study.name!r}: {len(self.failed)} of {len(self.parts)} parts failed: "
            + ", ".join(f"{n} (seed {s})" for s, n in self.failed),
        ]
        if missing:
            lines.append(
                "not run for their sake: " + ", ".join(f"{n} (seed {s})" for s, n in missing)
            )
        lines.append(
            f"saved and kept: {len(self.results)}. The first failure, {name} (seed {seed}):"
        )
        lines += [line.rstrip() for line in traceback.format_exception(first)]
        return "\n".join(lines)


def _timed(work: Work, config: Config, earlier: Earlier) -> Result:
    start = time.perf_counter()
    outcome = work(config, earlier)
    values, arrays = outcome if isinstance(outcome, tuple) else (outcome, {})
    seconds = time.perf_counter() - start
    return Result(values, arrays, seconds)


def _path(folder: Path, seed: int, name: str) -> Path:
    """Where a part is saved. Dots would be taken for endings, slashes for folders."""
    return folder / "parts" / f"seed-{seed}" / name.replace("/", "_").replace(".", "_")
