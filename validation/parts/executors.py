"""What runs the parts of a study: this process, fresh processes, or a Dask cluster.

Each is a `concurrent.futures.Executor`, and that is all that the runner knows of it.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from validation.parts.dependencies import ROOT, environment
from validation.parts.runner import InProcess
from validation.parts.saved import source_hash

__all__ = ["ElsewhereDiffers", "NoExecutor", "executor"]

FORMS = "in-process, processes, processes:N or dask:tcp://HOST:PORT"


class NoExecutor(ValueError):
    """The executor asked for cannot be had."""


class ElsewhereDiffers(RuntimeError):
    """A worker would compute other digits than this process."""


@contextmanager
def executor(wanted: str, *, timeout: float = 10.0) -> Iterator[Executor]:
    """An executor, closed at the end.

    Args:
        wanted: in-process, processes (one a core), processes:N or dask:tcp://HOST:PORT.
        timeout: Seconds to wait for a Dask scheduler.

    Raises:
        NoExecutor: It has another form, distributed is not installed, or no scheduler answers.
    """
    kind, _, where = wanted.partition(":")
    if kind == "dask" and where:
        with _dask(where, timeout) as remote:
            yield remote
    elif wanted == "in-process":
        yield InProcess()
    elif kind == "processes" and (wanted == kind or (where.isdecimal() and int(where) > 0)):
        with _processes(int(where) if where else os.cpu_count() or 1) as pool:
            yield pool
    else:
        raise NoExecutor(f"no executor {wanted!r}: there is {FORMS}")


def _processes(count: int) -> Executor:
    """Fresh processes, since a fork of a process with torch's threads may hang."""
    return ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,  # as many as here: sums depend on it
        initargs=(torch.get_num_threads(),),
    )


@contextmanager
def _dask(address: str, timeout: float) -> Iterator[Executor]:
    try:
        import dask
        import distributed
    except ImportError:
        raise NoExecutor(
            f"dask:{address} needs the package distributed: pip install 'refimpl[dask]'"
        ) from None
    # A part is handed the results that it needs, matrices among them: no reason for a warning.
    settings = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}
    with dask.config.set(settings):
        try:
            client = distributed.Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise NoExecutor(
                f"no Dask scheduler answers at {address} within {timeout:g} s ({error}): start one "
                "with `dask scheduler`, and workers with `dask worker`, then give its address"
            ) from None
        # Not pure: else the scheduler would hash every argument to find tasks that it knows.
        with client, client.get_executor(pure=False) as remote:
            yield _Alike(remote)


class _Alike(Executor):
    """Runs tasks elsewhere, on workers with this process's code, libraries and number of threads."""

    def __init__(self, elsewhere: Executor) -> None:
        self.elsewhere = elsewhere
        self.here = _here()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.elsewhere.submit(_alike, self.here, fn, *args, **kwargs)


def _alike(wanted: dict[str, Any], fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a task as the process that wants its result would."""
    # In every task and not once a worker: workers may join late, and be started anew when they die.
    torch.set_num_threads(wanted["threads"])
    here = _here()
    if wrong := [name for name, value in wanted.items() if here.get(name) != value]:
        raise ElsewhereDiffers(
            "a worker would not compute what this process does: "
            + "; ".join(f"{name} is {here.get(name)}, {wanted[name]} is needed" for name in wrong)
            + ". Start the workers anew, in this environment and with this code."
        )
    return fn(*args, **kwargs)


def _here() -> dict[str, Any]:
    return {**environment(), "code": _code()}


@cache  # as it was imported: a worker that lives on keeps the code that it began with
def _code() -> str:
    files = [f for room in ("refimpl", "validation") for f in (ROOT / room).rglob("*.py")]
    return source_hash(ROOT, files)[:12]
