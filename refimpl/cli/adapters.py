"""Options that say which implementation to judge, and the session that they ask for."""

from typing import Annotated

import typer

from refimpl.oracle.subject.external import NotStarted, Program
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.loading import NotLoaded
from refimpl.oracle.subject.start import start_session

__all__ = ["Adapter", "Direct", "Exec", "Timeout", "session_of"]


Adapter = Annotated[str | None, typer.Argument(metavar="MODULE:CLASS", show_default=False)]
Exec = Annotated[
    str | None, typer.Option("--exec", metavar="PROGRAM", help="A program in any language instead.")
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that one call may take.")]
Direct = Annotated[
    bool, typer.Option("--in-process", help="No process of its own: for a debugger.")
]


def session_of(
    adapter: str | None, program: str | None, timeout: float, in_process: bool
) -> Program | InProcess:
    """Start a session with the implementation that the options name.

    Args:
        adapter: "module:Class" or "file.py:Class".
        program: Command line of a program that answers instead of an adapter.
        timeout: Seconds that one call may take.
        in_process: Whether to call the adapter in this process.

    Raises:
        BadParameter: Nothing can be started from the options.
    """
    try:
        return start_session(adapter, program, timeout, in_process)
    except (NotLoaded, NotStarted, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
