"""Sessions: `nox` runs lint, types and tests; `nox -s report` draws the accuracy report."""

import os
import sys

import nox

sys.path.insert(0, os.path.dirname(__file__))
from validation.peers.requirements import libraries

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

# Two processes with a thread each are faster on small matrices than one with two threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PYTEST = ["pytest", "-n", "2", "--dist", "worksteal"]


def install(session: nox.Session, extra: str) -> None:
    session.install("-c", "constraints.txt", "-e", f".[{extra}]")


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite in hypothesis's `ci` profile (REFIMPL_PROFILE=quick or deep for others)."""
    install(session, "test")
    profile = os.environ.get("REFIMPL_PROFILE", "ci")
    session.run(*PYTEST, *session.posargs, env={**ONE_THREAD, "REFIMPL_PROFILE": profile})


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, its format, the arrows between the rooms, and code that nothing calls."""
    session.install("-c", "constraints.txt", "ruff", "import-linter", "vulture")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": "."})
    session.run("vulture")


@nox.session
def types(session: nox.Session) -> None:
    """pyright, strict on refimpl/."""
    install(session, "types")
    session.run("pyright", "--project", ".")  # or one in a parent folder would win


@nox.session
def trust(session: nox.Session) -> None:
    """The trust report: all tests, each deviation beside its bound, written to reports/trust."""
    install(session, "test")
    env = {**ONE_THREAD, "REFIMPL_PROFILE": os.environ.get("REFIMPL_PROFILE", "ci")}
    os.makedirs("reports/trust", exist_ok=True)
    run = [*PYTEST, "-q", "--evidence", "reports/trust/evidence.jsonl", *session.posargs]
    session.run(*run, env=env, success_codes=[0, 1])  # the report shows what is red, and fails then
    session.run("python", "-m", "validation", "trust", env=env)


@nox.session
def alarms(session: nox.Session) -> None:
    """The oracle's false alarms, in all conventions on 1,000 seeds (hours; goes on where it ended)."""
    install(session, "test")
    workers = ["--workers", str(os.cpu_count() or 1)]
    session.run("python", "-m", "validation", "alarms", *workers, *session.posargs, env=ONE_THREAD)


@nox.session
def mutants(session: nox.Session) -> None:
    """Mutation testing (hours): all of it, `-- "refimpl.fast*"` a part, `-- --sample 300` a sample."""
    install(session, "mutants")
    env = {**ONE_THREAD, "REFIMPL_PROFILE": "mutants"}
    run = ["mutmut", "run", "--max-children", str(os.cpu_count() or 1)]
    if session.posargs[:1] != ["--sample"]:
        session.run(*run, *session.posargs, env=env)
        session.run("python", "-m", "validation.trust.mutants")
        return
    # This makes all of them and tests one.
    session.run(*run, "refimpl.scores.queries.x_solve_queries__mutmut_1", env=env)
    sampled = ["python", "-m", "validation.trust.mutants", *session.posargs]
    names = session.run(*sampled, "--names", silent=True)
    session.run(*run, *str(names).split(), env=env)
    session.run(*sampled)


@nox.session
def report(session: nox.Session) -> None:
    """The accuracy report: `nox -s report`, or `nox -s report -- digits` for one study."""
    install(session, "validation")
    workers = ["--workers", str(os.cpu_count() or 1)]
    session.run("python", "-m", "validation", "report", *workers, *session.posargs, env=ONE_THREAD)


@nox.session
def validate(session: nox.Session) -> None:
    """Quick studies against reports/baseline; `nox -s validate -- --update --reason "why"`."""
    install(session, "validation")
    workers = ["--workers", str(os.cpu_count() or 1)]
    session.run(
        "python", "-m", "validation", "validate", *workers, *session.posargs, env=ONE_THREAD
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Speed and memory beside curvlinops and kronfluence: `nox -s bench`, or `-- dense` for one."""
    install(session, "validation")
    session.install("-c", "constraints.txt", "curvlinops-for-pytorch", "kronfluence")
    # They ask for torchvision, whose wheel does not fit the CPU's torch; neither library imports it.
    session.run("pip", "uninstall", "-y", "torchvision", "torchaudio")
    session.run("python", "-m", "validation", "bench", *session.posargs)


PEERS = libraries()  # by the name of the adapter's file: what pip installs


@nox.session
@nox.parametrize("library", list(PEERS), ids=list(PEERS))
def peers(session: nox.Session, library: str) -> None:
    """Published libraries judged, each in its own environment: all, or `nox -s "peers(dattri)"`."""
    # Of the constraints torch's alone: pyDVL needs an older numpy. It is named at every install, so
    # that nothing replaces it by a build of several gigabytes.
    with open("constraints.txt", encoding="utf-8") as file:
        torch = next(line.strip() for line in file if line.startswith("torch=="))
    session.install(torch, "jinja2", "-e", ".")
    session.install(torch, PEERS[library])
    # Some pull these in; they do not import them, and these wheels break on the CPU's torch.
    session.run("pip", "uninstall", "--yes", "--quiet", "torchvision", "torchaudio")
    out = f"reports/peers/sessions/{library}.json"
    session.run(
        "python", "-m", "validation.peers.session", library, out, *session.posargs, env=ONE_THREAD
    )
    session.run("python", "-m", "validation.peers.report", "reports/peers")
