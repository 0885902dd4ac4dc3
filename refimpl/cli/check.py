"""refimpl check: judge an implementation."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from refimpl.cli.adapters import Adapter, Direct, Exec, Timeout, session_of
from refimpl.cli.processes import configure_worker, workers
from refimpl.oracle.cases import all_cases as all_cases, quick as quick_cases
from refimpl.oracle.checks import CHECKS, Check
from refimpl.oracle.question.case import Case
from refimpl.oracle.results.badge import write_badge
from refimpl.oracle.results.deviations import BadDeviations, Deviation, read
from refimpl.oracle.results.html import write_html
from refimpl.oracle.results.junit import write_junit
from refimpl.oracle.results.lines import write_lines
from refimpl.oracle.results.outcome import Outcome
from refimpl.oracle.results.report import DRAWN, DRAWS, QUICK_DRAWS, Report, Selection
from refimpl.oracle.results.terminal import show
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.subject.external import Program
from refimpl.oracle.subject.in_process import InProcess

__all__ = ["command", "selected"]


def selected(quick: bool, case: str, stage: str, check: str) -> tuple[dict[str, Case], list[Check]]:
    """The cases and checks that match globs.

    Args:
        quick: Whether to choose from the quick cases only.
        case: Glob over ids of cases.
        stage: Glob over stages.
        check: Glob over slugs of checks.

    Raises:
        BadParameter: No case or no check matches.
    """
    known = (quick_cases if quick else all_cases)()
    cases = {name: c for name, c in known.items() if fnmatchcase(name, case)}
    checks = [c for c in CHECKS if fnmatchcase(c.stage, stage) and fnmatchcase(c.slug, check)]
    if not cases and not fnmatchcase(DRAWN, case):
        raise typer.BadParameter(f"no case matches {case!r}; there are {', '.join(all_cases())}")
    if not checks:
        raise typer.BadParameter(
            f"no check of a stage {stage!r} matches {check!r}: see `refimpl explain`"
        )
    return cases, checks


def command(
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
    """Is this implementation right? Ends with 0 if nothing is wrong, 1 if something is.

    Ends with 3 if nothing is wrong, but a stage that was asked about is not shown: nothing compared it.
    """
    declared = _deviations(deviations)
    cases, checks = selected(quick, case, stage, check)
    if draws is None:
        draws = (QUICK_DRAWS if quick else DRAWS) if fnmatchcase(DRAWN, case) else 0
    if not cases and not draws:
        raise typer.BadParameter(f"nothing to ask: {case!r} are the drawn cases, and --draws is 0")
    everything = (case, stage, check) == ("*", "*", "*") and draws > 0
    selection: Selection = "part" if not everything else "quick" if quick else "all"
    count = 1 if in_process else min(jobs or len(os.sched_getaffinity(0)), len(cases) + bool(draws))
    if count > 1:
        configure_worker()
    with workers(count - 1) as pool:
        session = session_of(adapter, program, timeout, in_process)
        report = _judge(session, cases, checks, declared, pool, count - 1, selection, draws)
    session.close()
    show(report, Console())
    for write, path in (
        (write_lines, json),
        (write_html, html),
        (write_junit, junit),
        (write_badge, badge),
    ):
        if path is not None:
            write(report, path)
            print(f"written: {path}")
    raise typer.Exit(report.exit_code(strict=strict))


def _judge(
    session: Program | InProcess,
    cases: Mapping[str, Case],
    checks: Sequence[Check],
    declared: tuple[Deviation, ...],
    pool: Executor | None,
    processes: int,
    selection: Selection,
    draws: int,
) -> Report:
    """Run the checks with a progress bar on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(session.subject, total=None)

        def advance(done: int, total: int, new: Sequence[Outcome]) -> None:
            bar.update(task, completed=done, total=total)

        return run_checks(
            session,
            cases,
            checks,
            deviations=declared,
            progress=advance,
            executor=pool,
            workers=processes,
            selection=selection,
            draws=draws,
        )


def _deviations(path: Path | None) -> tuple[Deviation, ...]:
    if path is None:
        return ()
    try:
        return read(path)
    except BadDeviations as error:
        raise typer.BadParameter(str(error)) from None
