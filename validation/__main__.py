"""Command line: python -m validation report [STUDY ...], validate [STUDY ...], trust, alarms, bench."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from validation.gate.comparison import validate
from validation.parts.executors import NoExecutor
from validation.parts.runner import Busy, PartsFailed
from validation.studies import STUDIES
from validation.study_pages import Choice, write_reports

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Names = Annotated[
    list[str] | None, typer.Argument(help=f"Studies: {', '.join(STUDIES)}. Default: all.")
]


@app.callback()
def main() -> None:
    """Studies of influence functions on real data."""


@app.command("report")
def report_command(
    names: Names = None,
    out: Annotated[Path, typer.Option(help="Folder of the reports.")] = Path("reports"),
    seeds: Annotated[
        str, typer.Option(help="Seeds, separated by commas. Default: each study's own, 1 to 3.")
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute everything anew.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, to try the machinery.")
    ] = False,
    mnist: Annotated[
        Path | None, typer.Option(help="Folder of MNIST's four IDX files, gzipped or not.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Folder of .txt files for the studies of text.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the parts; 1: this one alone.")
    ] = 1,
    executor: Annotated[
        str | None, typer.Option(help="in-process, processes:N or dask:tcp://HOST:PORT.")
    ] = None,
    from_saved: Annotated[
        bool, typer.Option("--from-saved", help="Draw pages from saved results; compute nothing.")
    ] = False,
) -> None:
    """Run studies, resuming what an earlier run left, and write their pages and an index."""
    folders = {"mnist": mnist, "text": texts, "text_wide": texts}
    choice = Choice(
        studies=[STUDIES[name] for name in _known(names, STUDIES, "study")],
        quick=quick,
        folders={name: folder for name, folder in folders.items() if folder},
        seeds=_seeds(seeds) if seeds else None,
    )
    where = _executor(executor, workers)
    try:
        good = write_reports(choice, out, where, Console(), fresh=fresh, from_saved=from_saved)
    except NoExecutor as error:
        raise typer.BadParameter(str(error)) from None
    if not good:
        raise typer.Exit(1)


@app.command("validate")
def validate_command(
    names: Names = None,
    out: Annotated[Path, typer.Option(help="Folder of the quick runs.")] = Path("reports/quick"),
    baseline: Annotated[Path, typer.Option(help="Folder of the committed baselines.")] = Path(
        "reports/baseline"
    ),
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    update: Annotated[bool, typer.Option("--update", help="Rewrite the baselines.")] = False,
    reason: Annotated[str, typer.Option(help="Why they change; needed with --update.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="As of `report`.")] = 1,
    executor: Annotated[str | None, typer.Option(help="As of `report`.")] = None,
) -> None:
    """Run quick studies; fail when a figure leaves the interval that the baseline has of it."""
    if update != bool(reason.strip()):
        raise typer.BadParameter(
            'a baseline is rewritten for a reason, and for one only: --update --reason "why"'
        )
    report_command(names, out, seeds, quick=True, workers=workers, executor=executor)
    console = Console()
    wide = Console(width=max(console.width, 160))  # a log has no width of its own
    if not validate(names or list(STUDIES), out, baseline, reason if update else None, wide):
        raise typer.Exit(1)


@app.command("trust")
def trust_command(
    evidence: Annotated[Path, typer.Option(help="What `pytest --evidence FILE` wrote.")] = Path(
        "reports/trust/evidence.jsonl"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports/trust"),
    mutants: Annotated[Path, typer.Option(help="What `nox -s mutants` wrote.")] = Path(
        "reports/baseline/mutants.json"
    ),
    alarms: Annotated[Path, typer.Option(help="What `nox -s alarms` wrote.")] = Path(
        "reports/baseline/false_alarms.json"
    ),
) -> None:
    """Draw the trust report of a test run; fails when a level is not green, or at a false alarm."""
    from validation.trust.command import draw_report  # it needs python-flint

    profile = os.environ.get("REFIMPL_PROFILE", "quick")
    if not draw_report(evidence, mutants, alarms, out, profile, Console()):
        raise typer.Exit(1)


@app.command("alarms")
def alarms_command(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 1000,
    out: Annotated[Path, typer.Option(help="What was asked so far.")] = Path(
        "reports/trust/false_alarms.jsonl"
    ),
    summary: Annotated[Path, typer.Option(help="Where the trust report finds it.")] = Path(
        "reports/baseline/false_alarms.json"
    ),
    others: Annotated[
        int, typer.Option(min=0, help="Conventions in which not refimpl alone is asked, in turn.")
    ] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Judge honest implementations in all conventions on cases of many seeds; fails at an alarm."""
    from validation.trust.command import count_alarms  # it needs the oracle

    if count_alarms(range(seeds), out, summary, others, _executor(None, workers), Console()):
        raise typer.Exit(1)


@app.command("bench")
def bench_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="dense, influences, ekfac, responses. Default: all.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("reports/bench"),
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda.")] = "cpu",
    clock: Annotated[
        str, typer.Option(help="wall; or cpu, where others use the machine at the same time.")
    ] = "wall",
    part: Annotated[
        str, typer.Option(help="Only parts of this name, as in a shell: 'alone/*'.")
    ] = "*",
    threads: Annotated[
        int, typer.Option(min=0, help="Threads; 0: all, or 1 where that multiplies as fast.")
    ] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure everything anew.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, to try the machinery.")
    ] = False,
    from_saved: Annotated[
        bool,
        typer.Option("--from-saved", help="Draw the page from saved results; measure nothing."),
    ] = False,
) -> None:
    """Measure speed and memory beside curvlinops and kronfluence, resuming; `nox -s bench`."""
    from validation.bench import BENCHES
    from validation.bench.command import Options, measure_benches, write_page

    chosen = _known(names, BENCHES, "bench")
    if clock not in ("wall", "cpu"):
        raise typer.BadParameter(f"no clock {clock!r}: there is wall and cpu")
    console = Console()
    options = Options(device=device, clock=clock, quick=quick)
    try:
        if not from_saved:
            measure_benches(
                chosen, out, options, part, threads=threads, fresh=fresh, console=console
            )
    except (Busy, PartsFailed) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    print(f"report: {write_page(out, options)}")


def _known(names: Collection[str] | None, known: Collection[str], kind: str) -> list[str]:
    """The names asked for, or all of them."""
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"no {kind} {', '.join(unknown)}: there is {', '.join(known)}")
    return list(names or known)


def _executor(executor: str | None, workers: int) -> str:
    if executor and workers > 1:
        raise typer.BadParameter("--workers N is --executor processes:N: give one of them")
    return executor or (f"processes:{workers}" if workers > 1 else "in-process")


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(s) for s in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"seeds must be whole numbers with commas, got {text!r}") from None
    if len(set(seeds)) != len(seeds):
        raise typer.BadParameter(f"a seed is given twice: {text!r}")
    return seeds


if __name__ == "__main__":
    app()
