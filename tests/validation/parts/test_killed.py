"""`python -m validation report`, killed with SIGKILL wherever it is, ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[3]
BOUND = 120.0  # seconds after which a test gives up, many times what it needs
# The real command line with a study of sixteen parts, each some 0.1 s of work that its numbers depend on.
SCRIPT = """
import sys
import time
from pathlib import Path
import numpy as np
from validation import __main__ as main
from validation.parts.study import Part, Study

LOG = Path(__file__).with_name(sys.argv.pop(1))

def work(config, earlier):
    with LOG.open("a") as log:
        log.write(config["name"] + chr(10))
    numbers = np.random.RandomState(config["seed"]).standard_normal((60, 60))
    for result in earlier.values():
        numbers = np.linalg.solve(numbers, result.arrays["numbers"]) / 3
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        np.linalg.eigvalsh(numbers)
    return {"sum": float(numbers.sum()), "largest": float(numbers.max())}, {"numbers": numbers}

def results(config, found):
    figures = [
        {"seed": seed, "reference": "none", "damping": 1.0, "curvature": name, "statistic": "sum",
         "value": result.values["sum"], "low": None, "high": None}
        for seed, parts in found.items() for name, result in parts.items()
    ]
    listed = [{"name": p.name, "family": p.name, "description": ""} for p in parts]
    page = {"format": 1, "name": "toy", "title": "Toy", "setting": "", "curvatures": listed}
    return page | {"agreement": figures}

parts = [Part(f"p{k}", work, ((f"p{k - 1}",) if k else ()), {"name": f"p{k}"}) for k in range(16)]
study = Study("toy", sys.modules[__name__], {}, {}, lambda config: parts, results)
if __name__ == "__main__":
    main.STUDIES.clear()
    main.STUDIES["toy"] = study
    main.app()
"""
PARTS = 16  # three kills fall into the first 3 * (3 begun + 2 in the delay), whatever is drawn


def start(folder: Path, out: str) -> subprocess.Popen[str]:
    """The command line in a process of its own; its parts are noted in OUT.log."""
    script = folder / "toy.py"
    if not script.exists():
        script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), f"{out}.log", "report", "toy", "--out", str(folder / out)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(folder: Path, out: str) -> None:
    with start(folder, out) as process:
        output, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 0, output


def saved(folder: Path, out: str) -> set[str]:
    """The parts that are committed: whose record is there under its own name."""
    return {path.stem for path in (folder / out / "toy" / "parts" / "seed-0").glob("*.json")}


def computed(folder: Path, out: str) -> list[str]:
    """Every part that was begun, in order, once for each time."""
    log = folder / f"{out}.log"
    return log.read_text().split() if log.exists() else []


def found(folder: Path, out: str) -> dict[str, Any]:
    """What a run ended with, but for when and how fast it was made."""
    at = folder / out / "toy"
    page = json.loads((at / "results.json").read_text())
    del page["provenance"]
    parts = at / "parts" / "seed-0"
    records = {p.stem: json.loads(p.read_text()) for p in sorted(parts.glob("*.json"))}
    arrays: dict[str, bytes] = {}
    for path in sorted(parts.glob("*.npz")):
        with np.load(path) as file:
            arrays |= {f"{path.stem}/{name}": file[name].tobytes() for name in file.files}
    same = {name: [r["key"], r["values"], r["arrays"]] for name, r in records.items()}
    return {"page": page, "records": same, "arrays": arrays}


def test_a_run_killed_at_three_random_moments_recomputes_only_what_was_unfinished(
    tmp_path: Path,
) -> None:
    finish(tmp_path, "straight")
    # After one of the next three parts was begun, and a random time within it or the next.
    moments, kept = random.Random(5), set[str]()
    for _ in range(3):
        begun = len(computed(tmp_path, "out")) + moments.randrange(1, 4)
        delay = moments.uniform(0.0, 0.2)
        before = computed(tmp_path, "out")
        with start(tmp_path, "out") as process:
            deadline = time.monotonic() + BOUND
            while len(computed(tmp_path, "out")) < begun:
                assert process.poll() is None, "ended before it could be killed"
                assert time.monotonic() < deadline, "never came so far"
                time.sleep(0.005)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait(BOUND)
        assert process.returncode == -signal.SIGKILL
        again = computed(tmp_path, "out")[len(before) :]
        assert not kept & set(again), "what was saved was computed again"
        kept = saved(tmp_path, "out")
        assert not (tmp_path / "out" / "toy" / "results.json").exists()
    assert 0 < len(kept) < PARTS
    before = computed(tmp_path, "out")
    finish(tmp_path, "out")
    last = computed(tmp_path, "out")[len(before) :]
    assert last == [f"p{k}" for k in range(PARTS) if f"p{k}" not in kept]
    # each kill costs at most the one part that it fell into
    assert PARTS <= len(computed(tmp_path, "out")) <= PARTS + 3
    assert found(tmp_path, "out") == found(tmp_path, "straight")
