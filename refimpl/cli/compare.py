"""refimpl compare: how two score matrices relate."""

from pathlib import Path
from typing import Annotated

import typer

from refimpl.agreement.relations import relation
from refimpl.agreement.score_files import read_scores

__all__ = ["command"]

Size = Annotated[int | None, typer.Option(min=1, show_default=False, help="To name a factor by.")]
Key = Annotated[str | None, typer.Option(show_default=False, help="Tensor of a safetensors file.")]


def command(
    a: Annotated[Path, typer.Argument(metavar="A", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", show_default=False)],
    examples: Size = None,
    tokens: Size = None,
    batch: Size = None,
    classes: Size = None,
    layers: Size = None,
    terms: Annotated[
        int,
        typer.Option(min=1, help="Of a score's sum, where both were computed; 1: stored copies."),
    ] = 1,
    key_a: Key = None,
    key_b: Key = None,
) -> None:
    """How do two score matrices relate: a factor, a sign, an order, only ranks, nothing?

    A and B are npy or safetensors files, [queries, examples], or folders of kronfluence's or
    bergson's scores. The sizes are called N, T, B, C and L.
    """
    given = {"N": examples, "T": tokens, "B": batch, "C": classes, "L": layers}
    sizes = {letter: size for letter, size in given.items() if size is not None}
    try:
        outcome = relation(read_scores(a, key_a), read_scores(b, key_b), sizes=sizes, terms=terms)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    print(outcome.sentence)
    if outcome.expression:
        print(outcome.expression)
