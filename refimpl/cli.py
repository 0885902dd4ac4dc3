"""Command line: refimpl ladder MODULE:FUNCTION."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from refimpl.ladder import DAMPINGS, ladder as climb
from refimpl.problem import Problem

__all__ = ["app", "load", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """The reference that influence-function implementations are judged by."""


@app.command()
def ladder(
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
    problem, inputs, targets = _setting(load(make), make)
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            results = climb(
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


def load(name: str) -> Callable[[], Any]:
    """The object that "module:name" or "path/to/file.py:name" means; the working folder is searched.

    Args:
        name: Where, and what.

    Raises:
        BadParameter: There is none.
    """
    module, _, attribute = name.rpartition(":")
    if not module or not attribute:
        raise typer.BadParameter(f"expected MODULE:FUNCTION or FILE.py:FUNCTION, got {name!r}")
    try:
        loaded = _file(Path(module)) if module.endswith(".py") else _module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # an import inside the user's module: theirs to see in full
        raise typer.BadParameter(f"there is no module {module!r} here ({Path.cwd()})") from None
    if not hasattr(loaded, attribute):
        raise typer.BadParameter(f"{module} has no {attribute!r}")
    return getattr(loaded, attribute)


def _module(name: str) -> Any:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)


def _file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise typer.BadParameter(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _setting(make: Callable[[], Any], name: str) -> tuple[Problem, Any, Any]:
    found = make()
    if not (isinstance(found, tuple) and len(found) == 3 and isinstance(found[0], Problem)):
        raise typer.BadParameter(
            f"{name}() must return (problem, query_inputs, query_targets), got "
            f"{type(found).__name__}"
        )
    return found
