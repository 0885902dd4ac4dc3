"""reports/peers: per library and stage a verdict, and for each deviation its reproduction.

`python -m validation.peers.report reports/peers` reads what sessions wrote there (sessions/, one JSON a
library), and writes peers.html, peers.json, peers.md and the reproductions themselves.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import refimpl
from validation import pages
from validation.peers.findings import STAGE_VERDICTS, Finding, read, verdicts

__all__ = ["results", "write"]


def results(
    sessions: Sequence[Mapping[str, Any]], findings: Sequence[Finding] | None = None
) -> dict[str, Any]:
    """The report as plain data.

    Args:
        sessions: What `session.whole` wrote, one a library.
        findings: Default: those of findings.toml.
    """
    known = read() if findings is None else findings
    return {
        "format": 1,
        "verdicts": STAGE_VERDICTS,
        "libraries": [
            _library(session, [f for f in known if f.library == session["library"]])
            for session in sessions
        ],
        "provenance": {
            "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "refimpl": refimpl.__version__,
        },
    }


def _library(session: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    scripts = {r["slug"]: r for r in session["reproductions"]}
    shown = [f for f in findings if scripts.get(f.slug, {}).get("deviates")]
    adapters = [
        {
            **{k: adapter[k] for k in ("name", "curvature", "conventions", "provenance")},
            "stages": verdicts(adapter, shown),
            "diagnoses": _diagnoses(adapter),
        }
        for adapter in session["adapters"]
    ]
    return {
        "library": session["library"],
        "requirement": session["requirement"],
        "version": session["adapters"][0]["version"],
        "documented": session["documented"],
        "selection": session["selection"],
        "adapters": adapters,
        "findings": [
            {
                "slug": f.slug,
                "title": f.title,
                "note": f.note,
                **{k: scripts[f.slug][k] for k in ("deviates", "argument", "output", "source")},
                "explains": _explained(f, session["adapters"]),
            }
            for f in findings
            if f.slug in scripts
        ],
        "unused": [slug for slug in scripts if slug not in {f.slug for f in findings}],
    }


def _diagnoses(adapter: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"where": f"{o['case']}::{o['stage']}::{o['mode']}", "says": o["diagnosis"][0]}
        for o in adapter["outcomes"]
        if o["diagnosis"]
    ]


def _explained(finding: Finding, adapters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many outcomes, and the largest relative error among their stages."""
    bad = [
        (a, o)
        for a in adapters
        for o in a["outcomes"]
        if o["verdict"] in ("fail", "error") and finding.covers(a["name"], o["case"], o["stage"])
    ]
    numbers = [a["distances"].get(o["case"], {}).get(o["stage"]) for a, o in bad]
    finite = [n for n in numbers if isinstance(n, float)]
    return {"outcomes": len(bad), "worst": max(finite) if finite else None}


def write(page: Mapping[str, Any], folder: Path) -> Path:
    """Write peers.html, peers.json, peers.md and reproductions/.

    Args:
        page: From `results`.
        folder: Where to write; created if missing.

    Returns:
        The path of peers.html.
    """
    for library in page["libraries"]:
        scripts = folder / "reproductions" / library["library"]
        scripts.mkdir(parents=True, exist_ok=True)
        for finding in library["findings"]:
            script = scripts / f"{finding['slug']}.py"
            script.write_text(finding["source"], encoding="utf-8")
            script.with_suffix(".txt").write_text(finding["output"] + "\n", encoding="utf-8")
    template = Path(__file__).with_name("peers.html")
    return pages.write(template, folder, page, _markdown(page), figure=figure)


def figure(worst: Mapping[str, Any] | None) -> str:
    """A relative error, or a dash."""
    return "–" if worst is None else f"{worst['error']:.0e}"


def _markdown(page: Mapping[str, Any]) -> str:
    lines = ["# Four published libraries, judged", ""]
    for library in page["libraries"]:
        rows = (
            (
                adapter["name"],
                stage,
                row["verdict"],
                figure(row["right"]),
                figure(row["wrong"]),
                ", ".join(row["findings"]),
            )
            for adapter in library["adapters"]
            for stage, row in adapter["stages"].items()
        )
        head = ("adapter", "stage", "verdict", "right to", "off by", "why")
        lines += [f"## {library['requirement']} {library['version']}", ""]
        lines += [*pages.markdown_table(head, rows, "lllrrl"), ""]
        for finding in library["findings"]:
            state = "confirmed" if finding["deviates"] else "NOT CONFIRMED"
            output = finding["output"].replace("\n", "\n      ")
            lines += [
                f"- **{finding['title']}** ({finding['slug']}, {state}, "
                f"{finding['explains']['outcomes']} outcomes). {finding['note']}",
                f"\n      {output}\n",
            ]
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    sessions = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "sessions").glob("*.json"))
    ]
    if not sessions:
        raise SystemExit(f"there is no session in {folder / 'sessions'}: run `nox -s peers`")
    print(write(results(sessions), folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
