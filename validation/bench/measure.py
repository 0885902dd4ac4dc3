"""Times side by side, the machine's rate of multiplication, and peaks of memory."""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from validation.parts.study import Config

__all__ = ["median", "multiply", "peak_memory", "product_rate", "ratio", "side_by_side", "timed"]

REPEATS = 5
LONG = 20.0  # seconds: what takes longer is not repeated more often than this many seconds allow
BUDGET = 60.0

Timings = Mapping[str, list[float]]


def timed(function: Callable[[], Any], config: Config) -> tuple[float, Any]:
    """Seconds that a call takes, work queued on an accelerator included, and what it returns.

    Args:
        function: What is called.
        config: "device", where it computes; "clock": "wall", or "cpu" for the processor's seconds,
            which others' work on the machine does not count into; those of one thread alone, since
            threads that wait spend them too, and none that go into files or an accelerator.
    """
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[config["clock"]]
    _finish(config)
    start = clock()
    value = function()
    _finish(config)
    return clock() - start, value


def side_by_side(
    contenders: Mapping[str, Callable[[], Any]], config: Config, repeats: int = REPEATS
) -> dict[str, list[float]]:
    """Seconds of each contender, called in turns, so that a slower machine slows all of them.

    The first call of each is not counted: it loads libraries and touches memory. One that then takes
    more than `LONG` seconds counts it, and is repeated no more often than `BUDGET` seconds allow.

    Args:
        contenders: What is called, by name.
        config: As for `timed`.
        repeats: Times that count.
    """
    seconds: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for name, call in contenders.items():
        first = timed(call, config)[0]
        seconds[name] = [first] if first > LONG else []
        counts[name] = max(1, min(repeats, int(BUDGET / first))) if first > LONG else repeats
    for _ in range(repeats):
        for name, call in contenders.items():
            if len(seconds[name]) < counts[name]:
                seconds[name].append(timed(call, config)[0])
    return seconds


def median(seconds: list[float]) -> float:
    """The median of some times."""
    return statistics.median(seconds)


def ratio(seconds: Timings, slow: str, fast: str) -> float:
    """How many times longer one contender takes than another, by their medians."""
    return median(seconds[slow]) / median(seconds[fast])


def product_rate(size: int, dtype: torch.dtype, config: Config) -> float:
    """Operations per second of a square matrix product, the best of some: what the machine can do.

    Args:
        size: Rows and columns of both factors.
        dtype: Their precision.
        config: As for `timed`.
    """
    left = torch.ones(size, size, dtype=dtype, device=config["device"])
    right = torch.ones_like(left)
    out = torch.empty_like(left)
    seconds = side_by_side({"product": lambda: torch.mm(left, right, out=out)}, config)
    return 2.0 * size**3 / min(seconds["product"])


def multiply(flops: float, rows: int, dtype: torch.dtype, device: str = "cpu") -> Callable[[], Any]:
    """A product X^T X' of `rows` rows with a given number of operations, to be timed beside others.

    Args:
        flops: Multiplications and additions.
        rows: The inner dimension.
        dtype: Of the factors.
        device: Where they lie.
    """
    side = max(1, round((flops / (2 * rows)) ** 0.5))
    left = torch.ones(rows, side, dtype=dtype, device=device)
    right = torch.ones_like(left)
    out = torch.empty(side, side, dtype=dtype, device=device)
    return lambda: torch.mm(left.T, right, out=out)


def peak_memory(function: Callable[[], Any], device: str = "cpu") -> tuple[int, Any]:
    """Bytes that a call holds at its worst beyond those held before it, and what it returns.

    On a CPU they are the process's resident bytes, so the call should be the first of its process:
    memory that was freed but not given back would hide what is used of it again.

    Args:
        function: What is called.
        device: Where it computes.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        value = function()
        return torch.cuda.max_memory_allocated() - before, value
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")  # the high-water mark starts anew
    before = _resident("VmRSS")
    value = function()
    return _resident("VmHWM") - before, value


def _resident(field: str) -> int:
    """Resident bytes now (VmRSS) or at their highest (VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines[field].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _finish(config: Config) -> None:
    if config["device"].startswith("cuda"):
        torch.cuda.synchronize()
