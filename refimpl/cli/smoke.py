"""refimpl smoke: look at every stage of an adapter on one small case."""

import typer
from rich.console import Console

from refimpl.cli.adapters import Adapter, Direct, Exec, Timeout, session_of
from refimpl.oracle.cases import quick as quick_cases
from refimpl.oracle.results.report import NOT_SHOWN
from refimpl.oracle.run.smoke import smoke_test

__all__ = ["command"]

MARKS = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]–[/]"}


def command(
    adapter: Adapter = None,
    program: Exec = None,
    timeout: Timeout = 60.0,
    in_process: Direct = False,
) -> None:
    """Is the adapter itself written right? One small case, every stage, and what to do.

    Ends with 0 if every stage was compared and is right, 1 if something is wrong, and 3 if nothing is
    wrong, but a stage is not shown: nothing compared it.
    """
    session = session_of(adapter, program, timeout, in_process)
    declaration = session.described.declaration
    console = Console()
    console.print(
        f"{declaration.name} {declaration.version}, {declaration.curvature}", style="bold"
    )
    wrong, unshown = 0, list[str]()
    for finding in smoke_test(session, next(iter(quick_cases().values()))):
        wrong += finding.ok is False
        unshown += [finding.stage] if finding.unshown else []
        console.print(f"{MARKS[finding.ok]} {finding.stage:13}", end="")
        indented = finding.text.replace("\n", "\n" + 15 * " ")
        console.print(indented, markup=False, soft_wrap=True)
    session.close()
    if not session.described.stages:
        console.print("The adapter overrides no stage: the smallest useful one has `scores`.")
        raise typer.Exit(1)
    if unshown:
        stages = ", ".join(unshown)
        console.print(
            f"Not shown: {stages}. Nothing was compared there, so that it may be wrong. "
            f"Now: refimpl check {session.subject}",
            soft_wrap=True,
        )
    elif wrong == 0:
        console.print(f"The adapter is written right. Now: refimpl check {session.subject}")
    raise typer.Exit(1 if wrong else NOT_SHOWN if unshown else 0)
