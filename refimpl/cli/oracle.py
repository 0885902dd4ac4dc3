"""The oracle's commands: refimpl check, smoke, explain."""

import gc
import multiprocessing
import os
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from refimpl.oracle.cases import cases as all_cases, quick as quick_cases
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results import deviations as declared
from refimpl.oracle.results.badge import write_badge
from refimpl.oracle.results.html import write_html
from refimpl.oracle.results.junit import write_junit
from refimpl.oracle.results.lines import write_lines
from refimpl.oracle.results.outcome import Outcome
from refimpl.oracle.results.report import DRAWN, DRAWS, QUICK_DRAWS, Selection
from refimpl.oracle.results.terminal import show
from refimpl.oracle.run.runner import run
from refimpl.oracle.run.smoke import smoke as look
from refimpl.oracle.selftest.explanations import explained, listed
from refimpl.oracle.subject.external import NotStarted, Program
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.opening import opened
from refimpl.problem.loading import NotLoaded

__all__ = ["check", "explain", "smoke"]


Adapter = Annotated[str | None, typer.Argument(metavar="MODULE:CLASS", show_default=False)]
Exec = Annotated[
    str | None, typer.Option("--exec", metavar="PROGRAM", help="A program in any language instead.")
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that one call may take.")]
Direct = Annotated[
    bool, typer.Option("--in-process", help="No process of its own: for a debugger.")
]


def _opened(
    adapter: str | None, program: str | None, timeout: float, in_process: bool
) -> Program | InProcess:
    try:
        return opened(adapter, program, timeout, in_process)
    except (NotLoaded, NotStarted, ValueError) as error:
        raise typer.BadParameter(str(error)) from None


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
    if not cases and not fnmatchcase(DRAWN, case):
        raise typer.BadParameter(f"no case matches {case!r}; there are {', '.join(all_cases())}")
    if not checks:
        raise typer.BadParameter(
            f"no check of a stage {stage!r} matches {check!r}: see `refimpl explain`"
        )
    return cases, checks


@contextmanager
def workers(count: int) -> Generator[Executor | None]:
    """Fresh processes, which import what they need from now on, while this one goes on.

    Args:
        count: How many.

    Yields:
        The executor; None where there are none.
    """
    if count < 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(count, context, _prepared) as pool:
        for _ in range(count):  # each starts a process
            pool.submit(_ready)
        yield pool


def _prepared() -> None:
    """This process, for many small matrices; the collector passes over what is imported."""
    torch.set_num_threads(1)
    gc.freeze()  # which also ends the process half a second sooner


def _ready() -> None:
    """Nothing: to find this function is to have imported what checks need."""


def check(
    adapter: Adapter = None,
    program: Exec = None,
    quick: Annotated[bool, typer.Option("--quick", help="About ten cases, in seconds.")] = False,
    case: Annotated[str, typer.Option(metavar="GLOB", help="Only these cases.")] = "*",
    stage: Annotated[str, typer.Option(metavar="GLOB", help="Only these stages.")] = "*",
    check: Annotated[str, typer.Option("--check", metavar="GLOB", help="Only these.")] = "*",
    draws: Annotated[
        int | None,
        typer.Option(min=0, help="Cases that hypothesis draws besides.", show_default=False),
    ] = None,
    deviations: Annotated[
        Path | None, typer.Option(help="What is declared to deviate.", show_default=False)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stale and expired deviations are errors.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write the report as JSON lines.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the report as one page.", show_default=False)
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the report as JUnit XML.", show_default=False)
    ] = None,
    badge: Annotated[
        Path | None,
        typer.Option(help="Write a badge: .svg, or .json for shields.io.", show_default=False),
    ] = None,
    timeout: Timeout = 60.0,
    in_process: Direct = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one a core.", show_default=False)
    ] = None,
) -> None:
    """Is this implementation right? Ends with 0 if nothing is wrong, 1 if something is."""
    known = _deviations(deviations)
    cases, checks = selected(quick, case, stage, check)
    if draws is None:
        draws = (QUICK_DRAWS if quick else DRAWS) if fnmatchcase(DRAWN, case) else 0
    if not cases and not draws:
        raise typer.BadParameter(f"nothing to ask: {case!r} are the drawn cases, and --draws is 0")
    everything = (case, stage, check) == ("*", "*", "*") and draws > 0
    selection: Selection = "part" if not everything else "quick" if quick else "all"
    count = 1 if in_process else min(jobs or len(os.sched_getaffinity(0)), len(cases) + bool(draws))
    if count > 1:
        _prepared()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with workers(count - 1) as pool:
        session = _opened(adapter, program, timeout, in_process)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(session.subject, total=None)

            def advance(done: int, total: int, new: Sequence[Outcome]) -> None:
                bar.update(task, completed=done, total=total)

            report = run(
                session, cases, checks, deviations=known, progress=advance, executor=pool,
                workers=count - 1, selection=selection, draws=draws,
            )  # fmt: skip
    session.close()
    show(report, Console())
    writers = (write_lines, json), (write_html, html), (write_junit, junit)
    for write, path in (*writers, (write_badge, badge)):
        if path is not None:
            write(report, path)
            print(f"written: {path}")
    raise typer.Exit(report.exit_code(strict=strict))


def _deviations(path: Path | None) -> tuple[declared.Deviation, ...]:
    if path is None:
        return ()
    try:
        return declared.read(path)
    except declared.BadDeviations as error:
        raise typer.BadParameter(str(error)) from None


def smoke(
    adapter: Adapter = None,
    program: Exec = None,
    timeout: Timeout = 60.0,
    in_process: Direct = False,
) -> None:
    """Is the adapter itself written right? One small case, every stage, and what to do."""
    session = _opened(adapter, program, timeout, in_process)
    declaration = session.described.declaration
    console = Console()
    console.print(
        f"{declaration.name} {declaration.version}, {declaration.curvature}", style="bold"
    )
    marks = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]–[/]"}
    wrong = 0
    for said in look(session, next(iter(quick_cases().values()))):
        wrong += said.ok is False
        console.print(f"{marks[said.ok]} {said.stage:13}", end="")
        console.print(said.text.replace("\n", "\n" + 15 * " "), markup=False, soft_wrap=True)
    session.close()
    if not session.described.stages:
        console.print("The adapter overrides no stage: the smallest useful one has `scores`.")
        raise typer.Exit(1)
    if wrong == 0:
        console.print(f"The adapter is written right. Now: refimpl check {session.subject}")
    raise typer.Exit(1 if wrong else 0)


def explain(
    check: Annotated[
        str | None, typer.Argument(metavar="[CHECK]", help="A slug; none: lists all.")
    ] = None,
) -> None:
    """What a check claims, where that comes from, and what it lets pass."""
    console = Console()
    if check is None:
        console.print(listed())
        return
    found = next((c for c in CHECKS if c.slug == check), None)
    if found is None:
        near = get_close_matches(check, [c.slug for c in CHECKS], n=3, cutoff=0.3)
        raise typer.BadParameter(
            f"there is no check {check!r}" + (f"; near it: {', '.join(near)}" if near else "")
        )
    console.print(explained(found))
