"""Executors: the same numbers wherever a part runs, and nothing lost when a worker dies."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from validation import __main__ as main, study_pages
from validation.parts import executors
from validation.parts.executors import ElsewhereDiffers, NoExecutor, executor
from validation.parts.runner import InProcess, run
from validation.parts.study import Config, Earlier, Part, Study

BOUND = 60.0  # seconds after which a test gives up, many times what it needs


def walk(config: Config, earlier: Earlier) -> Any:
    """A part whose digits depend on all before it; the victim waits to be killed the first time."""
    folder = Path(config["folder"])
    with (folder / "log").open("a") as log:
        log.write(config["name"] + "\n")
    if config["name"] == "victim" and not (folder / "pid").exists():
        (folder / "pid.partial").write_text(str(os.getpid()))
        (folder / "pid.partial").rename(folder / "pid")
        time.sleep(BOUND)
    generator = torch.Generator().manual_seed(len(config["name"]) + config["seed"])
    numbers = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    for result in earlier.values():
        numbers = torch.linalg.solve(numbers, torch.from_numpy(result.arrays["numbers"])) / 3
    return {"sum": float(numbers.sum()), "pid": os.getpid()}, {"numbers": numbers.numpy()}


def study(folder: Path) -> Study:
    module = ModuleType("toy")
    module.__file__ = str(folder / "toy.py")
    (folder / "toy.py").touch()
    parts = [
        Part(name, walk, needs, {"name": name})
        for name, needs in (
            ("first", ()),
            ("second", ()),
            ("victim", ("first",)),
            ("beside", ("second",)),
            ("other", ()),
            ("last", ("victim", "beside", "other")),
        )
    ]
    config = {"folder": str(folder)}
    return Study("toy", module, config, {}, lambda config: parts, lambda config, found: {})


CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(processes=True, **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()  # until the test closes it
"""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two worker processes with a thread each.

    In a process of its own: its threads would draw from Python's global random state.
    """
    script = tmp_path_factory.mktemp("cluster") / "cluster.py"
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=script.parent,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://"), "the cluster did not start"
        yield address
        process.communicate(timeout=BOUND)


@pytest.fixture(autouse=True)
def random_state_is_put_back() -> Iterator[None]:
    """distributed draws from Python's global generator when it connects."""
    before = random.getstate()
    yield
    random.setstate(before)


def kill_the_victim(folder: Path, killed: list[int]) -> None:
    deadline = time.monotonic() + BOUND
    while not (folder / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    pid = int((folder / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    killed.append(pid)


def test_a_dask_worker_killed_midway_loses_nothing_and_changes_no_digit(
    scheduler: str, tmp_path: Path
) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_the_victim, args=(tmp_path, killed))
    killer.start()
    with executor(f"dask:{scheduler}") as dask:
        found = run(study(tmp_path), tmp_path / "dask", seeds=[0, 1], executor=dask)
    killer.join()
    log = (tmp_path / "log").read_text().split()
    assert len(killed) == 1, "no worker was killed: nothing is shown"
    assert killed[0] != os.getpid()
    assert log.count("victim") >= 3, "the victim never ran again"  # once killed, once for each seed
    assert found.computed == 12
    reference = run(study(tmp_path), tmp_path / "here", seeds=[0, 1])
    for seed, parts in reference.results.items():
        assert list(parts) == list(found.results[seed])
        for name, part in parts.items():
            other = found.results[seed][name]
            assert part.values["sum"] == other.values["sum"]
            assert part.arrays["numbers"].tobytes() == other.arrays["numbers"].tobytes()
            assert other.values["pid"] != os.getpid()


@pytest.mark.parametrize("kind", ["dask", "processes:1"])
def test_a_worker_has_as_many_threads_as_this_process(scheduler: str, kind: str) -> None:
    before = torch.get_num_threads()
    wanted = f"dask:{scheduler}" if kind == "dask" else kind
    try:
        torch.set_num_threads(3)  # a worker begins with as many as there are cores, or with 1
        with executor(wanted) as found:
            assert found.submit(torch.get_num_threads).result(BOUND) == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["torch", "numpy", "code"])
def test_a_worker_with_other_libraries_or_code_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = executors._Alike(InProcess())
    assert alike.submit(len, [1, 2]).result() == 2
    here = executors._here()
    monkeypatch.setattr(executors, "_here", lambda: here | {name: "another"})
    with pytest.raises(ElsewhereDiffers, match=f"{name} is another, .*Start the workers anew"):
        alike.submit(len, [1, 2]).result()


def test_the_code_that_a_worker_is_asked_for_changes_with_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ROOT", tmp_path)
    versions: list[str] = []
    for text in ("", "# another line\n"):
        for room in ("refimpl", "validation"):
            (tmp_path / room / "deep").mkdir(parents=True, exist_ok=True)
            (tmp_path / room / "deep" / "one.py").write_text(text)
            versions.append(executors._code.__wrapped__())
    assert len(set(versions)) == 4


def free_address() -> str:
    """Where nobody listens: a port that was just given back."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{found.getsockname()[1]}"


def test_no_scheduler_is_said_within_the_time_given() -> None:
    start = time.monotonic()
    with (
        pytest.raises(NoExecutor, match=r"no Dask scheduler answers at tcp://.* within 0.5 s"),
        executor(f"dask:{free_address()}", timeout=0.5),
    ):
        pass
    assert time.monotonic() - start < BOUND / 2


def test_without_distributed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(NoExecutor, match=r"pip install 'refimpl\[dask\]'"),
        executor("dask:tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize("wanted", ["", "dask", "dask:", "processes:0", "processes:x", "threads:2"])
def test_an_executor_of_another_form_is_refused(wanted: str) -> None:
    with pytest.raises(NoExecutor, match=f"no executor {wanted!r}: there is"), executor(wanted):
        pass


def test_the_command_line_refuses_what_there_is_not_and_two_executors_at_once(
    tmp_path: Path,
) -> None:
    def invoke(*arguments: str) -> Any:
        options = ["digits", "--quick", "--out", str(tmp_path), *arguments]
        return CliRunner().invoke(main.app, ["report", *options])

    found = invoke("--executor", "threads")
    assert found.exit_code == 2
    assert "no executor 'threads'" in found.output
    found = invoke("--executor", "in-process", "--workers", "2")
    assert found.exit_code == 2
    assert "give one of them" in found.output
    assert not list(tmp_path.iterdir())


class Recorder(InProcess):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.given = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        return super().submit(fn, *args, **kwargs)


def test_the_command_line_hands_its_executor_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    recorder = Recorder()

    @executors.contextmanager
    def opened(wanted: str) -> Iterator[Recorder]:
        asked.append(wanted)
        yield recorder

    toy = study(tmp_path)
    (tmp_path / "pid").touch()  # nobody is killed

    def bare(config: Any, found: Any) -> dict[str, Any]:
        return {
            "format": 1,
            "name": "toy",
            "title": "Toy",
            "setting": "",
            "curvatures": [],
            "agreement": [],
        }

    toy = Study(toy.name, toy.module, toy.config, {}, toy.parts, bare)
    monkeypatch.setattr(main, "STUDIES", {"toy": toy})
    monkeypatch.setattr(study_pages, "open_executor", opened)
    for options, wanted in (
        (["--executor", "dask:tcp://somewhere:8786"], "dask:tcp://somewhere:8786"),
        (["--workers", "3", "--fresh"], "processes:3"),
        (["--fresh"], "in-process"),
    ):
        recorder.given = 0
        found = CliRunner().invoke(main.app, ["report", "--out", str(tmp_path / "out"), *options])
        assert found.exit_code == 0, found.output
        assert asked[-1] == wanted
        assert recorder.given == 6
