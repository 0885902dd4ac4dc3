"""The session that a command line asks for."""

import shlex
import sys

from refimpl.oracle.subject.external import Program
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.serve import adapter_named

__all__ = ["start_session"]


def start_session(
    adapter: str | None, program: str | None, timeout: float, in_process: bool
) -> Program | InProcess:
    """Start a session, so that what is wrong with the implementation shows at once.

    Args:
        adapter: "module:Class" or "file.py:Class".
        program: A program and its arguments instead.
        timeout: Seconds that one call may take.
        in_process: Whether to call the adapter in this process.

    Raises:
        ValueError: Both are given, or none, or what is given is no adapter.
        NotStarted: The program does not start.
    """
    if (adapter is None) == (program is None):
        raise ValueError("give MODULE:CLASS, or a program that answers in its stead")
    if adapter is not None and in_process:
        return InProcess(adapter_named(adapter), adapter)
    if adapter is not None:
        command = (sys.executable, "-m", "refimpl.oracle.subject.serve", adapter)
        session = Program(command, adapter, timeout)
    else:
        assert program is not None
        if in_process:
            raise ValueError("a program in a process of its own cannot be called in this one")
        session = Program(tuple(shlex.split(program)), f"--exec {shlex.quote(program)}", timeout)
    assert session.described  # started, so that what is wrong with it is told at once
    return session
