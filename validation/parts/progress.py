"""What a run says while it goes: a bar on a terminal, plain lines anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["Progress"]

At = tuple[int, str]  # seed and part


class Progress:
    """Reports the parts of a study as they start and finish.

    Args:
        console: Where to; None for silence.
    """

    def __init__(self, console: Console | None) -> None:
        self.console = console
        self._bar: Bar | None = None
        self._study = ""
        self._done = self._total = 0

    @contextmanager
    def study(self, name: str, total: int, reused: int) -> Iterator[None]:
        """A study of `total` parts begins, of which `reused` were found saved."""
        self._study, self._done, self._total = name, reused, total
        if reused:
            self._line(f"{name}: {reused} of {total} parts found saved")
        if self.console is None or not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("[bold]{task.fields[study]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Bar(*columns, console=self.console, transient=True) as self._bar:
            self._task = self._bar.add_task("", total=total, completed=reused, study=name)
            yield
        self._bar = None

    def started(self, at: At) -> None:
        """A part begins."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{at[1]} (seed {at[0]})")

    def finished(self, at: At, seconds: float) -> None:
        """A part is done and saved."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        self._line(f"{self._label(at)}: {seconds:.1f} s ({self._done} of {self._total})")

    def failed(self, at: At, error: BaseException) -> None:
        """A part has failed."""
        self._line(f"{self._label(at)}: FAILED: {type(error).__name__}: {error}")

    def _label(self, at: At) -> str:
        return f"{self._study}: {at[1]} (seed {at[0]})"

    def _line(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
