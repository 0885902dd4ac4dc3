"""Pages, summaries and the index, written from plain results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from refimpl.report import charts, images, passages, text
from refimpl.report.drawing import style_of
from refimpl.report.lookup import dampings
from refimpl.report.results import FORMAT, Reference, Responses, Results
from refimpl.report.sentences import findings
from refimpl.report.tables import (
    agreement_table,
    claims_markdown,
    gap_table,
    markdown,
    step_table,
)

__all__ = ["page", "read", "summary", "write", "write_index"]


def write(results: Results, folder: Path) -> Path:
    """Write report.html, results.json and summary.md.

    Args:
        results: The plain data.
        folder: Where to write; created if missing.

    Returns:
        The path of report.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    (folder / "summary.md").write_text(summary(results), encoding="utf-8")
    path = folder / "report.html"
    path.write_text(page(results), encoding="utf-8")
    return path


def read(folder: Path) -> Results:
    """Read the results.json of a folder.

    Args:
        folder: Where a page was written.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It was written by another version.
    """
    path = folder / "results.json"
    if not path.exists():
        raise FileNotFoundError(f"no results.json in {folder}: nothing was reported there yet")
    results = json.loads(path.read_text(encoding="utf-8"))
    if (written := results.get("format")) != FORMAT:
        raise ValueError(
            f"{path} has format {written}, this version reads {FORMAT}: make the report again"
        )
    return cast(Results, results)


def page(results: Results) -> str:
    """One self-contained page: drawings and pictures inline, nothing fetched.

    Args:
        results: The plain data.
    """
    references = results.get("references", [])
    return (
        _templates()
        .get_template("page.html")
        .render(
            results=results,
            findings=findings(results),
            references=[r for r in references if r["kind"] == "curvature"],
            outcomes=[r for r in references if r["kind"] == "outcome"],
            uses=[r for r in references if r["kind"] == "use"],
            gaps=[t for d in dampings(results) if (t := gap_table(results, d)).rows],
            agreement=lambda r: charts.agreement_charts(results, r),
            tables=lambda r: _tables(results, r),
            steps=[t for d in dampings(results) if (t := step_table(results, d)).rows],
            scatter=charts.scatter_rows(results),
            certificates=charts.certificate_charts(results),
            traces=charts.trace_charts(results),
            deciles=charts.decile_chart(results),
            measurement="log p" if "passages" in results else "loss",
            open_damping=results.get("headline", {}).get("damping"),
            several_seeds=len({f["seed"] for f in results["agreement"]}) > 1,
            styles=dict(
                zip(
                    [c["name"] for c in results["curvatures"]],
                    style_of([c["family"] for c in results["curvatures"]]),
                    strict=True,
                )
            ),
        )
    )


def summary(results: Results) -> str:
    """The findings and the headline tables in Markdown.

    Args:
        results: The plain data.
    """
    lines = [f"# {results['title']}", "", results["setting"], "", "## Findings", ""]
    lines += [f"- **{f.claim}.** {f.evidence}" for f in findings(results)]
    if claims := results.get("claims"):
        lines += ["", "## What was claimed, and what we measured", "", claims_markdown(claims)]
    known = dampings(results)
    here = results.get("headline", {}).get("damping", known[0] if known else None)
    for reference in results.get("references", []):
        if here is None:
            break
        table = agreement_table(results, reference["name"], here)
        if table.rows:
            lines += ["", f"## {text.sentence(reference['title'])}, λ = {text.damping(here)}", ""]
            lines += [reference["caption"], "", markdown(table)]
    if here is not None and (table := step_table(results, here)).rows:
        lines += ["", f"## What each step down the ladder costs, λ = {text.damping(here)}", ""]
        lines += [markdown(table)]
    if here is not None and (table := gap_table(results, here)).rows:
        title = f"## From leaving an example out to an estimate, λ = {text.damping(here)}"
        lines += ["", title, "", markdown(table)]
    lines += ["", "## How this was made", ""]
    for name, value in results["provenance"].items():
        if isinstance(value, Mapping):
            entries = cast("Mapping[str, Any]", value)
            lines.append(f"- {name}: " + ", ".join(f"{k} {v}" for k, v in entries.items()))
        else:
            lines.append(f"- {name}: {value}")
    return "\n".join(lines) + "\n"


def write_index(folder: Path) -> Path:
    """Write index.html over every results.json one level below a folder.

    Args:
        folder: The folder of the reports.

    Returns:
        The path of the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*/results.json")):
        entry: dict[str, Any] = {"folder": path.parent.name}
        try:
            results = read(path.parent)
            entry |= {"results": results, "findings": findings(results)[:4]}
        except ValueError as error:
            entry["problem"] = str(error)
        entries.append(entry)
    index = folder / "index.html"
    template = _templates().get_template("index.html")
    index.write_text(template.render(entries=entries), encoding="utf-8")
    return index


def _tables(results: Results, reference: Reference) -> list[Any]:
    tables = [agreement_table(results, reference["name"], d) for d in dampings(results)]
    return [t for t in tables if t.rows]


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("refimpl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "damping": text.damping,
        "figure": text.figure,
        "plus": text.plus,
        "power": text.power,
        "seconds": text.seconds,
        "picture": images.picture,
        "inked": passages.inked,
        "scale": passages.scale,
        "visible": passages.visible,
        "raw": Markup,
        "known": _known,
        "unbroken": text.unbroken,
        "missed": _missed,
    }
    cast(Any, environment.filters).update(filters)
    return environment


def _known(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _missed(responses: Responses) -> list[int]:
    """The examples whose retraining missed its tolerance."""
    return [
        example
        for example, ok in zip(responses["examples"], responses["converged"], strict=True)
        if not ok
    ]
