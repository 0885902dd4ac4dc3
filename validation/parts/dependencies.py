"""What saved numbers depend on besides their configuration: sources, libraries, and the processor."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

import refimpl
from validation.parts.saved import fingerprint, source_hash
from validation.parts.study import Study

__all__ = ["ROOT", "code_version", "environment"]

ROOT = Path(__file__).parents[2]
# The shared code of all studies that numbers depend on: files, and folders with all files in them.
# What only draws, lists or runs does not count.
SHARED = ("data", "models", "training", "experiments", "literature/claims.py")
DRAWING = ("report", "oracle")


def code_version(study: Study) -> str:
    """A hash of the sources that the study's numbers depend on, and refimpl's version."""
    package = [
        file
        for file in (ROOT / "refimpl").rglob("*.py")
        if file.relative_to(ROOT / "refimpl").parts[0] not in DRAWING
    ]
    shared = [
        file
        for name in SHARED
        for path in [ROOT / "validation" / name]
        for file in (path.rglob("*.py") if path.is_dir() else [path])
    ]
    source = Path(str(study.module.__file__))
    base = ROOT if source.is_relative_to(ROOT) else source.parent
    return fingerprint(
        refimpl.__version__, source_hash(ROOT, package + shared), source_hash(base, [source])
    )


def environment() -> dict[str, Any]:
    """What else decides the last digits: libraries, threads, and the processor's instructions."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": version("scikit-learn"),
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }
