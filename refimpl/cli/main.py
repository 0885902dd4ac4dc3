"""The program `refimpl`: one command a module of this room, named after it."""

import typer

from refimpl.cli import compare, ladder

__all__ = ["app", "program"]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def program() -> None:
    """The reference that influence-function implementations are judged by."""


def _add_oracle() -> None:
    """Add the oracle's commands; without its extra they say how to install it."""
    try:
        from refimpl.cli import check, explain, faults, smoke, vectors
    except ImportError as error:
        missing = f"needs `pip install 'refimpl[oracle]'` ({error})"

        def refuse() -> None:
            raise typer.BadParameter(missing)

        for name in ("check", "smoke", "explain", "faults", "vectors"):
            app.command(name)(refuse)
        return
    app.command("check")(check.command)
    app.command("smoke")(smoke.command)
    app.command("explain")(explain.command)
    app.command("faults")(faults.command)
    app.add_typer(vectors.app, name="vectors")


_add_oracle()
app.command("compare")(compare.command)
app.command("ladder")(ladder.command)
