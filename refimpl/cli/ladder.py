"""refimpl ladder: where the error of an influence estimate comes from, on the user's own model."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from refimpl.oracle.subject.loading import NotLoaded, load
from refimpl.problem.problem import Problem
from refimpl.rungs.climbing import DAMPINGS, ladder

__all__ = ["command"]


def command(
    make: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", show_default=False)],
    damping: Annotated[
        list[float] | None,
        typer.Option(help="λ; several make curves. Default: 0.1 0.01 0.001 0.0001."),
    ] = None,
    measurement: Annotated[
        str, typer.Option(help="Of a query: loss, log_likelihood, logit or margin.")
    ] = "loss",
    retrain: Annotated[
        int, typer.Option(min=0, help="Training examples to double and to remove.")
    ] = 30,
    top: Annotated[int, typer.Option(min=1, help="Size of the top sets.")] = 10,
    seed: Annotated[int, typer.Option(help="Of sampled labels and of the examples drawn.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("ladder"),
) -> None:
    """Where does the error of an influence estimate come from, on your own model?

    FUNCTION takes nothing and returns (problem, query_inputs, query_targets). Written are
    report.html, results.json and summary.md.
    """
    try:
        from refimpl import report
    except ImportError as error:
        raise typer.BadParameter(f"pages need `pip install 'refimpl[report]'` ({error})") from None
    problem, inputs, targets = _setting(_function(make), make)
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            results = ladder(
                problem,
                inputs,
                targets,
                measurement=measurement,
                retrain=retrain,
                top_k=top,
                seed=seed,
                progress=status.update,
                dampings=damping or DAMPINGS,
            )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    print(f"report: {report.write(results, out)}")  # type: ignore[arg-type]


def _function(name: str) -> Callable[[], Any]:
    try:
        return load(name, "FUNCTION")
    except NotLoaded as error:
        raise typer.BadParameter(str(error)) from None


def _setting(make: Callable[[], Any], name: str) -> tuple[Problem, Any, Any]:
    """Problem, query inputs and query targets, as the user's function returns them."""
    value = make()
    if not (isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], Problem)):
        raise typer.BadParameter(
            f"{name}() must return (problem, query_inputs, query_targets), got "
            f"{type(value).__name__}"
        )
    return value
