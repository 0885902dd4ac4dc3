"""Where the numbers of a page come from."""

import platform
from typing import Any

import refimpl
from validation.parts.runner import Run
from validation.parts.study import Config

__all__ = ["of"]


def of(config: Config, run: Run) -> dict[str, Any]:
    """What made a run's numbers: versions, seeds, precision, threads, times.

    Args:
        config: Its configuration.
        run: What the run gave.
    """
    everything = [result for results in run.results.values() for result in results.values()]
    last = max(everything, key=lambda result: result.made["at"]).made
    libraries = dict(last["environment"])
    threads = libraries.pop("threads")
    versions = sorted({result.made["code"][:12] for result in everything})
    seconds: dict[str, float] = {}
    for results in run.results.values():
        for name, result in results.items():
            seconds[name] = seconds.get(name, 0.0) + result.seconds
    return {
        "computed": last["at"],
        "refimpl": f"{refimpl.__version__}, sources {', '.join(versions)}",
        "libraries": {"python": platform.python_version(), **libraries},
        "machine": f"{platform.system()} {platform.machine()}, CPU, {threads} thread(s)",
        "precision": "float64 throughout",
        "seeds": ", ".join(map(str, run.results)),
        "configuration": {name: str(value) for name, value in config.items()},
        "time, all parts": f"{sum(seconds.values()):.1f} s",
        "time by part": {name: f"{value:.1f} s" for name, value in seconds.items()},
    }
