"""When, where and by which versions the benches were measured."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

import refimpl
from validation.parts.saved import Result

__all__ = ["provenance_of"]

CLOCKS = {
    "wall": "by the clock on the wall",
    "cpu": "seconds of the processor, since others worked on this machine meanwhile: what waits for "
    "files is not in them",
}
TIMES = (
    "medians of 5 after a first call that does not count, contenders in turns; of fewer, as said beside "
    "them, where a run takes long; "
)


def provenance_of(results: Sequence[Result], device: str, clock: str) -> dict[str, str]:
    """The provenance of measurements, as their results have it.

    Args:
        results: Of all parts.
        device: Where they computed, as torch names it.
        clock: "wall" or "cpu".
    """
    records = [r.made for r in results]
    dates = [record["at"] for record in records]
    span = sorted({min(dates, default="never"), max(dates, default="never")})
    where = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    threads = sorted({str(record["environment"]["threads"]) for record in records})
    sources = sorted({record["code"][:12] for record in records})
    machine = f"{platform.system()} {platform.machine()}, {where}"
    return {
        "measured": " to ".join(span),
        "refimpl": f"{refimpl.__version__}, sources {', '.join(sources)}",
        "libraries": ", ".join(f"{n} {v}" for n, v in _versions().items()),
        "machine": f"{machine}, {' or '.join(threads)} thread(s) of {os.cpu_count()}: as many as "
        "multiply matrices fastest",
        "times": TIMES + CLOCKS[clock],
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("torch", "numpy", "curvlinops-for-pytorch", "kronfluence"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed here"
    return versions


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
