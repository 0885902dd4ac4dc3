"""Judge one library in the environment that it is installed in: outcomes and reproductions as JSON.

python -m validation.peers.session kronfluence OUT.json [--quick]
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from refimpl.oracle.cases import all_cases, quick as quick_cases
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial
from validation.peers.distances import relative_errors
from validation.peers.requirements import libraries

__all__ = ["judged", "reproduced", "whole"]

HERE = Path(__file__).parent


def judged(
    adapters: Sequence[Any], chosen: Mapping[str, Case], checks: Sequence[Check] = CHECKS
) -> list[dict[str, Any]]:
    """Every adapter on every case, as plain data.

    Args:
        adapters: Adapter classes.
        chosen: The cases.
        checks: What is checked.
    """
    records: list[dict[str, Any]] = []
    for adapter in adapters:
        session = InProcess(adapter())
        report = run_checks(session, chosen, checks)
        declaration = report.declaration
        print(f"{declaration.name}: {report.counts}", flush=True)
        records.append(
            {
                "name": declaration.name,
                "version": declaration.version,
                "curvature": declaration.curvature,
                "conventions": declaration.chosen.changed,
                "stages": list(report.stages),
                "outcomes": [outcome.to_json() for outcome in report.outcomes],
                "distances": {
                    name: relative_errors(Trial(session, case)) for name, case in chosen.items()
                },
                "provenance": dict(report.provenance),
            }
        )
    return records


def reproduced(folder: Path) -> list[dict[str, Any]]:
    """Run every reproduction in a process of its own, in which refimpl cannot be imported.

    A reproduction computes a tiny problem with the library and by hand, and exits with 0 where the two
    differ, with 1 where they agree, and with a traceback where its own hand computations disagree.

    Args:
        folder: Of the library's scripts.
    """
    alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    records: list[dict[str, Any]] = []
    for script in sorted(folder.glob("*.py")):
        source = script.read_text(encoding="utf-8")
        started = time.perf_counter()
        # -P: the folder of the script is not searched for imports, so that kronfluence/ hides nothing
        finished = subprocess.run(
            [sys.executable, "-P", "-W", "ignore::FutureWarning", str(script)],
            capture_output=True,
            text=True,
            timeout=300,
            env=alone,
            cwd=folder,
            check=False,
        )
        broken = "Traceback" in finished.stderr or finished.returncode not in (0, 1)
        print(f"{script.stem}: {'broken' if broken else not finished.returncode}", flush=True)
        records.append(
            {
                "slug": script.stem,
                "statement": source.split('"""')[1].strip().splitlines()[0],
                "argument": " ".join(source.split('"""')[1].strip().splitlines()[1:]).strip(),
                "source": source,
                "output": finished.stdout.strip(),
                "deviates": None if broken else finished.returncode == 0,
                "error": finished.stderr[-2000:] if broken else "",
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    return records


def whole(library: str, module: ModuleType, *, quick: bool) -> dict[str, Any]:
    """Everything that a session records about one library.

    Args:
        library: The name of its file in this folder.
        module: Its adapters' module.
        quick: Whether the quick cases are enough.
    """
    chosen = quick_cases() if quick else all_cases()
    return {
        "format": 1,
        "library": library,
        "requirement": libraries()[library],
        "documented": (module.__doc__ or "").strip(),
        "selection": "quick" if quick else "all",
        "adapters": judged(module.ADAPTERS, chosen),
        "reproductions": reproduced(HERE / "reproductions" / library),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=sorted(libraries()))
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"validation.peers.{options.library}")
    gc.freeze()  # kronfluence collects garbage at every step: not what the imports left behind, too
    record = whole(options.library, module, quick=options.quick)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
