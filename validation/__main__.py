"""Command line: python -m validation report [STUDY ...], validate [STUDY ...], trust, alarms, bench."""

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn
from rich.table import Table

from refimpl import report as pages
from validation.gate.comparison import validate as compare
from validation.literature import page as literature
from validation.parts import provenance
from validation.parts.executors import NoExecutor, executor as open_executor
from validation.parts.progress import Progress
from validation.parts.runner import Busy, InProcess, PartsFailed, Run, run, saved_run
from validation.parts.study import Config, Study
from validation.studies import STUDIES

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Studies of influence functions on real data."""


@app.command()
def report(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Studies: {', '.join(STUDIES)}. Default: all.")
    ] = None,
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
    chosen = names or list(STUDIES)
    if unknown := [name for name in chosen if name not in STUDIES]:
        raise typer.BadParameter(f"no study {', '.join(unknown)}: there is {', '.join(STUDIES)}")
    wanted = _seeds(seeds) if seeds else None
    console = Console()
    folders = {"mnist": mnist, "text": texts, "text_wide": texts}
    configs = {
        name: {
            **STUDIES[name].config,
            **(STUDIES[name].quick if quick else {}),
            **({"folder": str(folders[name].resolve())} if folders.get(name) else {}),
        }
        for name in chosen
    }

    def compute(study: Study, folder: Path) -> Run:
        config, own = configs[study.name], wanted or study.seeds
        if from_saved:
            return saved_run(study, folder, seeds=own, config=config)
        options = {"seeds": own, "config": config, "fresh": fresh, "executor": running}
        return run(study, folder, progress=Progress(console), **options)

    if executor and workers > 1:
        raise typer.BadParameter("--workers N is --executor processes:N: give one of them")
    where = executor or (f"processes:{workers}" if workers > 1 else "in-process")
    # Studies side by side where processes share their parts, so that none waits for another's last.
    side_by_side = InProcess() if where == "in-process" else ThreadPoolExecutor(len(chosen))
    try:
        with open_executor(where) as running, side_by_side:
            found = {
                name: side_by_side.submit(compute, STUDIES[name], out / name) for name in chosen
            }
            failed = [
                name
                for name, future in found.items()
                if not _write(STUDIES[name], configs[name], out / name, future, console)
            ]
    except NoExecutor as error:
        raise typer.BadParameter(str(error)) from None
    if told := literature.write(out):
        print(f"report: {told}")
    print(f"index: {pages.write_index(out)}")
    if failed:
        raise typer.Exit(1)


@app.command()
def validate(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Studies: {', '.join(STUDIES)}. Default: all.")
    ] = None,
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
    report(names, out, seeds, quick=True, workers=workers, executor=executor)
    console = Console()
    wide = Console(width=max(console.width, 160))  # a log has no width of its own
    if not compare(names or list(STUDIES), out, baseline, reason if update else None, wide):
        raise typer.Exit(1)


@app.command()
def trust(
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
    from validation.proved import proved_records, worst  # it needs python-flint
    from validation.trust.identities import missing
    from validation.trust.levels import read
    from validation.trust.page import ratio, results, write

    proved = list(worst(proved_records()).values())
    score = json.loads(mutants.read_text(encoding="utf-8")) if mutants.exists() else None
    told = json.loads(alarms.read_text(encoding="utf-8")) if alarms.exists() else None
    profile = os.environ.get("REFIMPL_PROFILE", "quick")
    found = results(read(evidence), proved, score, told, profile)
    console = Console()
    table = Table("level", "tests", "random examples", "largest deviation / bound", "where")
    for level in found["levels"]:
        state = f"{level['tests'] - len(level['failed'])} of {level['tests']}"
        style = None if level["green"] else "red"
        where = (level["where"] or "").removeprefix("tests/")
        table.add_row(
            level["name"],
            state,
            f"{level['examples']:,}",
            ratio(level["ratio"]),
            where,
            style=style,
        )
    console.print(table)
    shown = [r for r in found["identities"] if r["green"]]
    print(f"identities shown: {len(shown)} of {len(found['identities'])}")
    print(f"report: {write(found, out)}")
    alarmed = told is not None and any(row["wrong"] for row in told["rows"])
    if alarmed or missing(found["identities"]) or not all(lv["green"] for lv in found["levels"]):
        raise typer.Exit(1)


@app.command()
def alarms(
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
    from validation.trust import false_alarms  # it needs the oracle

    where = f"processes:{workers}" if workers > 1 else "in-process"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with open_executor(where) as running, Bar(*columns) as bar:
        task = bar.add_task("seeds", total=seeds)
        for done in false_alarms.run(range(seeds), out, running, others):
            bar.update(task, completed=done)
    found = false_alarms.summary(false_alarms.read(out), range(seeds))
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    rows = found["rows"]
    columns = ("seeds", "by all", "pass", "cannot decide", "not claimed", "false alarms")
    table = Table("conventions", *columns)
    for row in rows:
        counts = [row[k] for k in ("seeds", "by_all", "passed", "indeterminate", "unsupported")]
        table.add_row(row["variant"], *(f"{n:,}" for n in counts), str(len(row["wrong"])))
    Console().print(table)
    wrong = [line for row in rows for line in row["wrong"]]
    print(*wrong, f"written: {summary}", sep="\n")
    if wrong:
        raise typer.Exit(1)


@app.command()
def bench(
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
    from validation.bench.command import bench as measure, best_threads

    chosen = names or list(BENCHES)
    if unknown := [name for name in chosen if name not in BENCHES]:
        raise typer.BadParameter(f"no bench {', '.join(unknown)}: there is {', '.join(BENCHES)}")
    if clock not in ("wall", "cpu"):
        raise typer.BadParameter(f"no clock {clock!r}: there is wall and cpu")
    console = Console()
    torch.set_num_threads(threads or best_threads())
    try:
        path = measure(
            chosen, out, device=device, clock=clock, pattern=part, quick=quick, fresh=fresh,
            from_saved=from_saved, progress=Progress(console),
        )  # fmt: skip
    except (Busy, PartsFailed) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    print(f"report: {path}")


def _write(
    study: Study, config: Config, folder: Path, computed: Future[Run], console: Console
) -> bool:
    """Write the page of a study once it is computed; whether it was."""
    try:
        found = computed.result()
    except (Busy, PartsFailed, FileNotFoundError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return False
    results = study.results(config, found.results)
    results["provenance"] = provenance.of(config, found)
    print(f"report: {pages.write(results, folder)}")  # type: ignore[arg-type]
    return True


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
