"""A program beside this process that answers for an implementation: any language, killed if it hangs.

The protocol is docs/another-language.md's: JSON lines on its standard input and output, arrays in
safetensors files. Standard error is a log: its last lines are quoted when the program ends by itself,
and never touch a verdict.
"""

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from refimpl.oracle.question.case import Case
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Unsupported
from refimpl.oracle.subject.session import Described, Failed
from refimpl.oracle.subject.wire import (
    PROTOCOL,
    pack_arguments,
    pack_case,
    read_arrays,
    read_declaration,
    unpack_answer,
    write_arrays,
)

__all__ = ["NotStarted", "Program", "program"]

STARTUP = 120.0  # seconds: importing a framework takes long, on a busy machine longer
CRASHES = 2  # a stage that ended the program this often is not asked again; one that hung never
CASES_ON_DISK = 8  # cases whose files are kept: checks go back and forth between few


class NotStarted(RuntimeError):
    """The program does not start, or does not speak the protocol; the text says what it did."""


class _Ended(Exception):
    """The program is gone, or was killed; the text says why."""


class _Hung(_Ended):
    """It was killed for taking too long."""


class Program:
    """A session with a program, which is started when it is first asked, and anew when it ends.

    Pickled into another process it becomes that process's own session with the same program.

    Args:
        command: The program and its arguments.
        subject: Its name on the command line, for reproductions.
        timeout: Seconds that one call may take.
    """

    def __init__(self, command: tuple[str, ...], subject: str, timeout: float = 60.0) -> None:
        self.command, self.subject, self.timeout = command, subject, timeout
        self._ends: dict[str, list[str]] = {}
        self._described: Described | None = None
        self._running: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._cases: OrderedDict[int, tuple[Case, Path, dict[str, Any]]] = OrderedDict()
        self._requests = 0
        self._folder = Path(tempfile.mkdtemp(prefix="refimpl-"))
        self._closing = Finalize(self, _close, (self.__dict__, self._folder), exitpriority=1)

    def __reduce__(self) -> tuple[Any, ...]:
        return program, (self.command, self.subject, self.timeout)

    @property
    def described(self) -> Described:
        """The program's description of itself.

        Raises:
            NotStarted: It does not start.
        """
        if self._described is None:
            try:
                self._start()
            except _Ended as error:
                raise NotStarted(str(error)) from None
        assert self._described is not None
        return self._described

    def call(self, stage: str, case: Case, arguments: Mapping[str, Any]) -> Any:
        """The raw answer of a stage; see `Session`."""
        ends = self._ends.setdefault(stage, [])
        if len(ends) >= CRASHES:
            raise Failed(f"not asked again: earlier, {ends[0]}")
        answer = self._folder / "answer.safetensors"
        try:
            reply = self._run(stage, case, arguments, answer)
        except _Ended as error:
            ends += [f"{stage} {error}"] * (CRASHES if isinstance(error, _Hung) else 1)
            raise Failed(f"{stage} {error}") from None
        if "unsupported" in reply:
            raise Unsupported(str(reply["unsupported"]))
        if "error" in reply:
            raise Failed(str(reply["error"]))
        try:
            return unpack_answer(stage, read_arrays(answer))
        except Exception as error:  # whatever a file that is none makes its reader raise
            raise Failed(
                f"{stage} answered, but its file of arrays cannot be read "
                f"({type(error).__name__}: {error})"
            ) from None

    def close(self) -> None:
        """Stop the program and remove its files."""
        self._closing()

    def _run(
        self, stage: str, case: Case, arguments: Mapping[str, Any], answer: Path
    ) -> dict[str, Any]:
        if self._running is None:
            self._start()
        path, plain = self._written(case)
        numbers, arrays = pack_arguments(arguments)
        arguments_path = self._folder / "arguments.safetensors"
        write_arrays(arguments_path, arrays)
        answer.unlink(missing_ok=True)
        self._requests += 1
        message = {
            "op": "run",
            "id": self._requests,
            "stage": stage,
            "case": plain,
            "case_arrays": str(path),
            "arguments": numbers,
            "argument_arrays": str(arguments_path),
            "answer": str(answer),
        }
        reply = self._ask(message, self.timeout)
        if reply.get("id") != self._requests or not {"ok", "unsupported", "error"} & set(reply):
            self._kill()
            raise _Ended(
                f"was answered by {_short(json.dumps(reply))}: expected the request's id "
                f"({self._requests}) and 'ok', 'unsupported' or 'error'"
            )
        return reply

    def _written(self, case: Case) -> tuple[Path, dict[str, Any]]:
        """Write the case's arrays to a file, once; return its path and the rest of the case as JSON."""
        if id(case) not in self._cases:
            plain, arrays = pack_case(case)
            path = self._folder / f"case-{self._requests}.safetensors"
            write_arrays(path, arrays)
            self._cases[id(case)] = case, path, plain  # the case is kept, so that its id is its own
            if len(self._cases) > CASES_ON_DISK:
                _, (_, old, _) = self._cases.popitem(last=False)
                old.unlink()
        self._cases.move_to_end(id(case))
        return self._cases[id(case)][1:]

    def _start(self) -> None:
        # The same modules can be imported there as here; small matrices are quickest in one thread.
        paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment = {**threads, **os.environ, "PYTHONPATH": paths}
        with (self._folder / "stderr.log").open("ab") as log:
            try:
                self._running = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    bufsize=1,
                    env=environment,
                    start_new_session=True,  # with all that it starts, for the kill,
                )
            except OSError as error:
                raise NotStarted(f"{shlex.join(self.command)} cannot be run: {error}") from None
        self._lines = queue.Queue()
        reader = threading.Thread(
            target=_read, args=(self._running.stdout, self._lines), daemon=True
        )
        reader.start()
        reply = self._ask({"op": "start", "protocol": PROTOCOL}, max(STARTUP, self.timeout))
        if "error" in reply:
            self._kill()
            raise NotStarted(str(reply["error"]))
        try:
            declaration = read_declaration(reply["declaration"])
            stages = tuple(s for s in STAGES if s in reply["stages"])
            if unknown := sorted(set(reply["stages"]) - set(STAGES)):
                raise ValueError(f"there are no stages {unknown}; there are {', '.join(STAGES)}")
        except (KeyError, TypeError, ValueError) as error:
            self._kill()
            raise NotStarted(
                f"the answer to 'start' must hold a declaration and stages, got "
                f"{_short(json.dumps(reply))} ({error})"
            ) from None
        self._described = Described(declaration, stages)

    def _ask(self, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        assert self._running is not None
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(json.dumps(message) + "\n")
            self._running.stdin.flush()
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._kill()
            raise _Hung(
                f"gave no answer within {timeout:g} s and was killed (--timeout allows more)"
            ) from None
        except OSError:  # the program is gone: the reader has seen its end
            line = None
        if line is None:
            raise _Ended(self._last_words())
        try:
            reply = json.loads(line)
            assert isinstance(reply, dict)
        except (ValueError, AssertionError):
            self._kill()
            raise _Ended(
                f"was answered by {_short(line)} on standard output: one JSON object a line is "
                "expected there; what is meant for people goes to standard error"
            ) from None
        return reply

    def _last_words(self) -> str:
        assert self._running is not None
        code = self._running.wait()
        self._kill()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        log = (self._folder / "stderr.log").read_text(errors="replace").strip()[-2000:]
        last_line = log.splitlines()[-1:] if log else []
        return f"ended the program ({how})" + "".join(f"; last on stderr: {s}" for s in last_line)

    def _kill(self) -> None:
        if self._running is not None:
            _end(self._running)
            self._running = None


def _short(text: str) -> str:
    return repr(text if len(text) < 100 else text[:97] + "...")


def _read(stream: Iterable[str], lines: "queue.Queue[str | None]") -> None:
    try:
        for line in stream:
            lines.put(line)
    finally:
        lines.put(None)


def _end(running: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    for stream in (running.stdin, running.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not yet written has nobody to go to
                stream.close()


def _close(state: Mapping[str, Any], folder: Path) -> None:
    running = state["_running"]
    if running is not None and running.poll() is None:
        with suppress(OSError, subprocess.TimeoutExpired):
            running.stdin.write('{"op": "stop"}\n')
            running.stdin.close()
            running.wait(timeout=2)
    if running is not None:
        _end(running)
    for path in folder.glob("*"):
        path.unlink()
    folder.rmdir()


@cache
def program(command: tuple[str, ...], subject: str, timeout: float) -> Program:
    """This process's session with a program: the same one at every call.

    Args:
        command: As `Program` has them.
        subject: Likewise.
        timeout: Likewise.
    """
    return Program(command, subject, timeout)
