"""The oracle's commands: refimpl check, smoke, explain."""

import multiprocessing
import os
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from refimpl.loading import NotLoaded
from refimpl.oracle import deviations as declared
from refimpl.oracle.case import Case
from refimpl.oracle.cases import cases as all_cases, quick as quick_cases
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.outcomes import Selection
from refimpl.oracle.program import NotStarted, Program, python
from refimpl.oracle.runner import run
from refimpl.oracle.serve import adapter_named
from refimpl.oracle.session import InProcess
from refimpl.oracle.terminal import show
from refimpl.oracle.verdicts import Outcome

__all__ = ["check"]

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
    """The session that the command line asks for, started.

    Args:
        adapter: "module:Class".
        program: The program and its arguments instead.
        timeout: Seconds that one call may take.
        in_process: Whether to call the adapter in this process.

    Raises:
        BadParameter: There is none.
    """
    if (adapter is None) == (program is None):
        raise typer.BadParameter("give MODULE:CLASS, or --exec PROGRAM")
    if in_process and adapter is None:
        raise typer.BadParameter("--in-process is for Python adapters")
    try:
        if program is not None:
            found = Program(tuple(shlex.split(program)), f"--exec {shlex.quote(program)}", timeout)
        elif adapter is not None and in_process:
            return InProcess(adapter_named(adapter), adapter)
        else:
            assert adapter is not None
            found = python(adapter, timeout)
        assert found.described
    except (NotLoaded, NotStarted) as error:
        raise typer.BadParameter(str(error)) from None
    return found


def selected(quick: bool, case: str, stage: str, check: str) -> tuple[dict[str, Case], list[Check]]:
    """Cases and checks that globs pick.

    Args:
        quick: Whether from the quick cases.
        case: Glob over ids.
        stage: Glob over stages.
        check: Glob over slugs.

    Raises:
        BadParameter: They pick nothing.
    """
    cases = {
        n: c for n, c in (quick_cases if quick else all_cases)().items() if fnmatchcase(n, case)
    }
    checks = [c for c in CHECKS if fnmatchcase(c.stage, stage) and fnmatchcase(c.slug, check)]
    if not cases:
        raise typer.BadParameter(f"no case matches {case!r}; there are {', '.join(all_cases())}")
    if not checks:
        raise typer.BadParameter(
            f"no check of a stage {stage!r} matches {check!r}: see `refimpl explain`"
        )
    return cases, checks


@contextmanager
def workers(count: int) -> Iterator[Executor | None]:
    """Fresh processes, or none for one.

    Args:
        count: How many.
    """
    if count < 2:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(count, context, torch.set_num_threads, (1,)) as pool:
        yield pool


def check(
    adapter: Adapter = None,
    program: Exec = None,
    quick: Annotated[bool, typer.Option("--quick", help="About ten cases, in seconds.")] = False,
    case: Annotated[str, typer.Option(metavar="GLOB", help="Only these cases.")] = "*",
    stage: Annotated[str, typer.Option(metavar="GLOB", help="Only these stages.")] = "*",
    check: Annotated[str, typer.Option("--check", metavar="GLOB", help="Only these.")] = "*",
    deviations: Annotated[
        Path | None, typer.Option(help="What is declared to deviate.", show_default=False)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stale and expired deviations are errors.")
    ] = False,
    timeout: Timeout = 30.0,
    in_process: Direct = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one a core.", show_default=False)
    ] = None,
) -> None:
    """Is this implementation right? Ends with 0 if nothing is wrong, 1 if something is."""
    known = _deviations(deviations)
    cases, checks = selected(quick, case, stage, check)
    everything = (case, stage, check) == ("*", "*", "*")
    selection: Selection = "part" if not everything else "quick" if quick else "all"
    session = session_of(adapter, program, timeout, in_process)
    count = 1 if in_process else min(jobs or len(os.sched_getaffinity(0)), len(cases))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with workers(count) as pool, Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(session.subject, total=None)

        def advance(done: int, total: int, new: Sequence[Outcome]) -> None:
            bar.update(task, completed=done, total=total)

        report = run(
            session, cases, checks, deviations=known, progress=advance, executor=pool,
            selection=selection,
        )  # fmt: skip
    session.close()
    show(report, Console())
    raise typer.Exit(report.exit_code(strict=strict))


def _deviations(path: Path | None) -> tuple[declared.Deviation, ...]:
    if path is None:
        return ()
    try:
        return declared.read(path)
    except declared.BadDeviations as error:
        raise typer.BadParameter(str(error)) from None
