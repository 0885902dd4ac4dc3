"""refimpl vectors: export DIR, verify DIR ANSWERS, lint DIR."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.vectors.files import BadVector, export
from refimpl.oracle.vectors.lint import lint_folder
from refimpl.oracle.vectors.verify import verify_answers

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Cases and right answers as files, for any language.")
Folder = Annotated[Path, typer.Argument(metavar="DIR", show_default=False)]


@app.command("export")
def export_command(folder: Folder) -> None:
    """Write the released vectors to DIR."""
    print(f"{export(folder)} vectors in {folder}")


@app.command("verify")
def verify_command(
    folder: Folder,
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", show_default=False)],
    dtype: Annotated[str, typer.Option(help="What the answers were computed in.")] = "float64",
) -> None:
    """Judge ANSWERS to the vectors in DIR; exit code 1 where one fails."""
    if dtype not in ROUNDOFF:
        raise typer.BadParameter(f"--dtype must be one of {', '.join(ROUNDOFF)}, got {dtype!r}")
    if not answers.is_dir():
        raise typer.BadParameter(f"{answers} is no folder of answers")
    try:
        outcomes = verify_answers(folder, answers, dtype)
    except BadVector as error:
        raise typer.BadParameter(str(error)) from None
    if not outcomes:
        raise typer.BadParameter(f"{folder} holds no vectors: `refimpl vectors export` writes them")
    console = Console(soft_wrap=True)
    bad = [v for v in outcomes if v.verdict in (Verdict.FAIL, Verdict.ERROR)]
    for v in bad:
        name = f"{v.vector} {v.output}".strip()
        console.print(f"{v.verdict.value} {name}: {v.detail}", markup=False, highlight=False)
    counts = Counter(v.verdict.value for v in outcomes)
    console.print(f"{len(outcomes)} outputs: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    raise typer.Exit(1 if bad or not counts[Verdict.PASS.value] else 0)


@app.command("lint")
def lint_command(folder: Folder) -> None:
    """Tell what is wrong with the vectors in DIR; exit code 1 where something is."""
    complaints = lint_folder(folder)
    for sentence in complaints:
        print(sentence)
    raise typer.Exit(1 if complaints else 0)
