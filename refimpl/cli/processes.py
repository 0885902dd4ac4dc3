"""Worker processes that check cases in parallel."""

import gc
import multiprocessing
from collections.abc import Generator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

import torch

__all__ = ["configure_worker", "workers"]


@contextmanager
def workers(count: int) -> Generator[Executor | None]:
    """Start worker processes; they import what checks need while this process goes on.

    Args:
        count: Number of processes; none are started where it is below 1.

    Yields:
        The executor, or None where there are no processes.
    """
    if count < 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(count, context, configure_worker) as pool:
        for _ in range(count):  # each submission starts a process
            pool.submit(_import_this_module)
        yield pool


def configure_worker() -> None:
    """Compute in one thread, and exempt what is imported from garbage collection."""
    torch.set_num_threads(1)
    gc.freeze()  # which also ends the process half a second sooner


def _import_this_module() -> None:
    """Do nothing: a worker that finds this function has imported what checks need."""
