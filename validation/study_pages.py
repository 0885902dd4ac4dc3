"""Run studies and write their pages, the page on the literature, and the index over all of them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from refimpl import report
from validation.literature import page as literature
from validation.parts import provenance
from validation.parts.executors import executor as open_executor
from validation.parts.progress import Progress
from validation.parts.runner import Busy, InProcess, PartsFailed, Run, run, saved_run
from validation.parts.study import Config, Study

__all__ = ["Choice", "write_reports"]


@dataclass(frozen=True)
class Choice:
    """Which studies are run, and how.

    Args:
        studies: The studies.
        quick: Whether at their quick sizes.
        folders: Folder of a study's data, by the study's name, where the user has one.
        seeds: Seeds of every study; None: each study's own.
    """

    studies: Sequence[Study]
    quick: bool
    folders: Mapping[str, Path]
    seeds: Sequence[int] | None

    def config(self, study: Study) -> Config:
        """The configuration that a study is run with.

        Args:
            study: One of the studies.
        """
        folder = self.folders.get(study.name)
        return {
            **study.config,
            **(study.quick if self.quick else {}),
            **({"folder": str(folder.resolve())} if folder else {}),
        }


def write_reports(
    choice: Choice,
    out: Path,
    where: str,
    console: Console,
    *,
    fresh: bool = False,
    from_saved: bool = False,
) -> bool:
    """Run studies, resuming what is saved, and write a page for each of them; whether all succeeded.

    Args:
        choice: Which studies, and how.
        out: Folder of the reports, with a folder for each study.
        where: The executor: "in-process", "processes:N" or "dask:ADDRESS".
        console: Where to print progress and failures.
        fresh: Whether to compute again what is saved.
        from_saved: Whether to compute nothing and draw the saved results.

    Raises:
        NoExecutor: There is no such executor.
    """
    # Studies side by side where processes share their parts, so that none waits for another's last.
    many = len(choice.studies)
    side_by_side = InProcess() if where == "in-process" else ThreadPoolExecutor(many)
    with open_executor(where) as executor, side_by_side:

        def compute(study: Study) -> Run:
            folder, config = out / study.name, choice.config(study)
            seeds = choice.seeds or study.seeds
            if from_saved:
                return saved_run(study, folder, seeds=seeds, config=config)
            return run(
                study,
                folder,
                seeds=seeds,
                config=config,
                fresh=fresh,
                executor=executor,
                progress=Progress(console),
            )

        computed = [(study, side_by_side.submit(compute, study)) for study in choice.studies]
        good = [
            _write(s, choice.config(s), out / s.name, future, console) for s, future in computed
        ]
    if path := literature.write(out):
        print(f"report: {path}")
    print(f"index: {report.write_index(out)}")
    return all(good)


def _write(
    study: Study, config: Config, folder: Path, computed: Future[Run], console: Console
) -> bool:
    """Write the page of a study once it is computed; whether it was."""
    try:
        finished = computed.result()
    except (Busy, PartsFailed, FileNotFoundError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return False
    results = study.results(config, finished.results)
    results["provenance"] = provenance.of(config, finished)
    print(f"report: {report.write(results, folder)}")  # type: ignore[arg-type]
    return True
