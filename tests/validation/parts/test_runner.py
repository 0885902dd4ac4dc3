"""The runner: nothing computed twice, nothing lost, failures named."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import numpy as np
import pytest

from validation.parts import dependencies, runner
from validation.parts.runner import Busy, InProcess, PartsFailed, run
from validation.parts.study import Config, Earlier, Part, Study

ROOT = Path(__file__).parents[3]
CONFIG = {"size": 4}


def study(parts: list[Part], folder: Path, source: str = "", name: str = "toy") -> Study:
    """A study of these parts whose module is a file of its own."""
    file = folder / f"{name}.py"
    file.write_text(source)
    module = ModuleType(name)
    module.__file__ = str(file)
    return Study(name, module, CONFIG, {}, lambda config: parts, lambda config, found: {})


def counted(calls: list[str]) -> list[Part]:
    """Three parts that note when they run; the last needs the other two."""

    def draw(config: Config, earlier: Earlier) -> Any:
        calls.append("draw")
        numbers = np.random.RandomState(config["seed"]).standard_normal(config["size"])
        return {"mean": numbers.mean()}, {"numbers": numbers}

    def scale(config: Config, earlier: Earlier) -> Any:
        calls.append("scale")
        return {"scale": config["factor"]}

    def combine(config: Config, earlier: Earlier) -> Any:
        calls.append("combine")
        return {"sum": earlier["scale"].values["scale"] * earlier["draw"].arrays["numbers"].sum()}

    return [
        Part("draw", draw),
        Part("scale", scale, options={"factor": 3.0}),
        Part("combine", combine, ("draw", "scale")),
    ]


def test_a_second_run_computes_nothing_and_returns_the_same_bits(tmp_path: Path) -> None:
    calls: list[str] = []
    toy = study(counted(calls), tmp_path)
    first = run(toy, tmp_path / "out", seeds=[0, 1])
    assert calls == ["draw", "scale", "combine"] * 2
    assert (first.reused, first.computed) == (0, 6)
    second = run(toy, tmp_path / "out", seeds=[0, 1])
    assert len(calls) == 6
    assert (second.reused, second.computed) == (6, 0)
    for seed in (0, 1):
        for name in ("draw", "scale", "combine"):
            assert first.results[seed][name].values == second.results[seed][name].values
        a, b = (r.results[seed]["draw"].arrays["numbers"] for r in (first, second))
        assert a.tobytes() == b.tobytes()


def test_arrays_that_a_part_does_not_read_are_not_sent_to_it(tmp_path: Path) -> None:
    sent: list[set[str]] = []

    def two(config: Config, earlier: Earlier) -> Any:
        return {}, {"matrix/G": np.eye(3), "scores/G": np.ones(2)}

    def reads(config: Config, earlier: Earlier) -> Any:
        sent.append(set(earlier["two"].arrays))
        return {}

    parts = [
        Part("two", two),
        Part("all", reads, ("two",)),
        Part("some", reads, ("two",), without=("matrix/",)),
    ]
    found = run(study(parts, tmp_path), tmp_path / "out")
    assert sent == [{"matrix/G", "scores/G"}, {"scores/G"}]
    assert set(found.results[0]["two"].arrays) == {"matrix/G", "scores/G"}


def test_each_seed_has_its_own_results(tmp_path: Path) -> None:
    found = run(study(counted([]), tmp_path), tmp_path / "out", seeds=[0, 1]).results
    assert found[0]["draw"].values != found[1]["draw"].values


def test_fresh_computes_everything_anew(tmp_path: Path) -> None:
    calls: list[str] = []
    toy = study(counted(calls), tmp_path)
    run(toy, tmp_path / "out")
    assert run(toy, tmp_path / "out", fresh=True).computed == 3
    assert len(calls) == 6


@pytest.mark.parametrize("change", ["config", "source", "option", "environment", "shared sources"])
def test_whatever_the_numbers_depend_on_changes_the_key(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    parts = counted(calls)
    run(study(parts, tmp_path), tmp_path / "out")
    config, expected = CONFIG, 3
    toy = study(parts, tmp_path)
    if change == "config":
        config = {"size": 5}
    if change == "source":
        toy = study(parts, tmp_path, source="# another line\n")
    if change == "option":
        parts[1] = Part("scale", parts[1].work, options={"factor": 4.0})
        toy, expected = study(parts, tmp_path), 2  # "draw" does not depend on it, "combine" does
    if change == "environment":
        changed = {**dependencies.environment(), "threads": -1}
        monkeypatch.setattr(dependencies, "environment", lambda: changed)
    if change == "shared sources":
        monkeypatch.setattr(dependencies, "SHARED", ("models",))
    assert run(toy, tmp_path / "out", config=config).computed == expected


def test_sources_that_only_draw_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toy = study([], tmp_path)
    before = dependencies.code_version(toy)
    monkeypatch.setattr(dependencies, "DRAWING", ("report", "oracle", "nothing-of-this-name"))
    assert dependencies.code_version(toy) == before
    monkeypatch.setattr(dependencies, "DRAWING", ("oracle",))
    assert dependencies.code_version(toy) != before


def test_every_file_of_a_shared_folder_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toy = study([], tmp_path)
    folder = tmp_path / "validation" / "data"
    (folder / "deeper").mkdir(parents=True)
    (folder.parent / "models.py").write_text("")
    files = [folder / "one.py", folder / "deeper" / "two.py", folder.parent / "models.py"]
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    monkeypatch.setattr(dependencies, "SHARED", ("data", "models.py"))
    versions = [dependencies.code_version(toy)]
    for file in files:
        file.write_text("# another line\n")
        versions.append(dependencies.code_version(toy))
    assert len(set(versions)) == len(versions)
    (folder / "one.txt").write_text("")
    assert dependencies.code_version(toy) == versions[-1]


def test_a_failing_part_names_itself_and_leaves_the_rest_saved(tmp_path: Path) -> None:
    calls: list[str] = []
    parts = counted(calls)

    def broken(config: Config, earlier: Earlier) -> Any:
        raise ZeroDivisionError("no luck")

    toy = study([parts[0], Part("scale", broken), parts[2]], tmp_path)
    with pytest.raises(PartsFailed, match=r"1 of 3 parts failed: scale \(seed 0\)") as caught:
        run(toy, tmp_path / "out")
    assert "not run for their sake: combine (seed 0)" in str(caught.value)
    assert "ZeroDivisionError: no luck" in str(caught.value)
    assert calls == ["draw"]
    mended = run(study(parts, tmp_path), tmp_path / "out")
    assert calls == ["draw", "scale", "combine"], "the part that had succeeded ran again"
    assert mended.reused == 1


def test_a_result_that_json_cannot_hold_fails_its_part(tmp_path: Path) -> None:
    toy = study([Part("odd", lambda config, earlier: {"path": object()})], tmp_path)
    with pytest.raises(PartsFailed, match="a result may hold numbers, text, lists and dicts"):
        run(toy, tmp_path / "out")


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with (
        filelock.FileLock(folder / ".lock", thread_local=False),
        pytest.raises(Busy, match=r"another run is writing to .* choose another folder"),
    ):
        run(study(counted([]), tmp_path), folder)
    run(study(counted([]), tmp_path), folder)


def test_a_part_that_needs_what_is_not_there_is_refused(tmp_path: Path) -> None:
    toy = study([Part("late", lambda config, earlier: {}, ("early",))], tmp_path)
    with pytest.raises(ValueError, match="part 'late' needs 'early', which is not listed before"):
        run(toy, tmp_path / "out")


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    part = Part("same", lambda config, earlier: {})
    with pytest.raises(ValueError, match="two parts of one name"):
        run(study([part, part], tmp_path), tmp_path / "out")


@pytest.mark.parametrize("make", [InProcess, lambda: ThreadPoolExecutor(2)])
def test_any_executor_gives_the_same_results(make: Callable[[], Any], tmp_path: Path) -> None:
    reference = run(study(counted([]), tmp_path), tmp_path / "reference").results[0]
    with make() as executor:
        found = run(study(counted([]), tmp_path), tmp_path / "out", executor=executor).results[0]
    assert {n: r.values for n, r in found.items()} == {n: r.values for n, r in reference.items()}


class Late(Executor):
    """Finishes its first task only when it is given a second."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.given = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, partial(fn, *args, **kwargs)))
        self.given += 1
        while self.given > 1 and self.held:
            waiting, task = self.held.pop(0)
            waiting.set_result(task())
        return future


def test_a_part_whose_need_is_met_while_others_are_submitted_is_not_forgotten(
    tmp_path: Path,
) -> None:
    parts = [Part(n, lambda c, e: {}, needs) for n, needs in (("a", ()), ("b", ("a",)), ("c", ()))]
    found = run(study(parts, tmp_path), tmp_path / "out", executor=Late())
    assert list(found.results[0]) == ["a", "b", "c"]


def test_saved_results_are_read_without_computing(tmp_path: Path) -> None:
    calls: list[str] = []
    toy = study(counted(calls), tmp_path)
    with pytest.raises(FileNotFoundError, match="no saved result of part 'draw'"):
        runner.saved_run(toy, tmp_path / "out")
    run(toy, tmp_path / "out")
    changed = study(counted(calls), tmp_path, source="# whatever the code is by now\n")
    assert runner.saved_run(changed, tmp_path / "out").results[0]["combine"].values
    assert len(calls) == 3


# A study in a process of its own that waits to be killed in its third part of four.
KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from rich.console import Console
from validation.parts.progress import Progress
from validation.parts.runner import run
from validation.parts.study import Part, Study

folder, log, go = map(Path, sys.argv[1:4])

def work(config, earlier):
    with log.open("a") as file:
        file.write(config["name"] + chr(10))
    if config["name"] == "c" and not go.exists():
        time.sleep(600)
    before = sum(r.values["sum"] for r in earlier.values())
    numbers = np.random.RandomState(len(config["name"])).standard_normal(1000) / 3 + before
    return {"sum": numbers.sum()}, {"numbers": numbers}

names = "abcd"
parts = [Part(n, work, tuple(names[:i]), {"name": n}) for i, n in enumerate(names)]
study = Study("killed", sys.modules[__name__], {}, {}, lambda config: parts, lambda c, f: {})
found = run(study, folder, progress=Progress(Console()))
print("finished", found.reused, found.computed)
"""


def test_a_run_killed_halfway_resumes_without_recomputing_and_bit_for_bit(tmp_path: Path) -> None:
    script, log, go = tmp_path / "killed.py", tmp_path / "log", tmp_path / "go"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(out: str, log: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / out), str(log), str(go)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    process = start("out", log)
    deadline = time.monotonic() + 120
    while not (log.exists() and "c" in log.read_text()):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, "never reached its third part"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    # What a kill in the middle of writing leaves behind must not matter either.
    saved = tmp_path / "out" / "parts" / "seed-0"
    (saved / "c.json.partial").write_text('{"key": ')
    (saved / "c.npz").write_bytes(b"half an arch")

    go.touch()
    output, _ = start("out", log).communicate(timeout=120)
    assert "finished 2 2" in output
    assert log.read_text().split() == ["a", "b", "c", "c", "d"]
    output, _ = start("straight", tmp_path / "other-log").communicate(timeout=120)
    assert "finished 0 4" in output
    straight = tmp_path / "straight" / "parts" / "seed-0"
    for name in "abcd":
        assert (saved / f"{name}.npz").read_bytes() == (straight / f"{name}.npz").read_bytes()
        one, other = (json.loads((f / f"{name}.json").read_text()) for f in (saved, straight))
        assert one["values"] == other["values"]
        assert one["key"] == other["key"]
