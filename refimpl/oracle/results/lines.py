"""A report as JSON lines: a header, outcomes, and a footer; without the footer it is incomplete.

`report.schema.json` describes each line; what a schema cannot say (the order, and that the footer's
counts are those of the lines before it and add up) is checked by `read`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from refimpl.oracle.results.outcome import Outcome, Verdict
from refimpl.oracle.results.report import Footer, Report
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["FORMAT", "InvalidReport", "read", "schema", "write_lines"]

FORMAT = 1


class InvalidReport(ValueError):
    """Not a whole report; the text says what is missing or wrong."""


@cache
def _without_stages() -> Mapping[str, Any]:
    file = resources.files("refimpl.oracle.results").joinpath("report.schema.json")
    return json.loads(file.read_text("utf-8"))


def schema() -> Mapping[str, Any]:
    """The JSON Schema of a line, which names the stages that there are."""
    plain = _without_stages()
    return {**plain, "$defs": {**plain["$defs"], "stage": {"enum": list(STAGES)}}}


def write_lines(report: Report, path: Path) -> None:
    """Write a report."""
    declaration = {
        **asdict(report.declaration),
        "conventions": dict(report.declaration.conventions),
    }
    header = {
        "kind": "header",
        "format": FORMAT,
        "subject": report.subject,
        "declaration": declaration,
        "stages": list(report.stages),
        "selection": report.selection,
        "asked": None if report.asked is None else list(report.asked),
        "provenance": dict(report.provenance),
    }
    outcomes = [{"kind": "outcome", **o.to_json()} for o in report.outcomes]
    footer = {"kind": "footer", **asdict(report.footer), "notices": list(report.notices)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for line in (header, *outcomes, footer):
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> Report:
    """Read a report.

    Raises:
        InvalidReport: It is no report, or not all of one.
    """
    lines = [_line(text, i + 1, path) for i, text in enumerate(_texts(path))]
    if not lines or lines[0]["kind"] != "header":
        raise InvalidReport(f"{path} does not begin with a header: it is no report of refimpl")
    if lines[-1]["kind"] != "footer":
        raise InvalidReport(
            f"{path} has no footer: the run was cut off, and what is missing cannot be known; run it "
            "again"
        )
    if wrong := [i + 1 for i, x in enumerate(lines[1:-1], 1) if x["kind"] != "outcome"]:
        raise InvalidReport(f"{path}: line {wrong[0]} must be an outcome")
    header, footer = lines[0], lines[-1]
    report = Report(
        subject=header["subject"],
        declaration=Declaration(**header["declaration"]),
        stages=tuple(header["stages"]),
        outcomes=tuple(_outcome(line) for line in lines[1:-1]),
        selection=header["selection"],
        planned=footer["planned"],
        absent=footer["absent"],
        inapplicable=footer["inapplicable"],
        provenance=header["provenance"],
        notices=tuple(footer["notices"]),
        asked=None if header.get("asked") is None else tuple(header["asked"]),
    )
    stated = Footer(**{k: v for k, v in footer.items() if k not in ("kind", "notices")})
    if not any("shows" in line for line in lines[1:-1]):
        # Written before outcomes said whether they show a stage: its statuses are as they were then.
        stated = replace(stated, stages=report.footer.stages)
    if stated != report.footer:
        raise InvalidReport(
            f"{path}: the footer says {stated}, but the outcomes before it make {report.footer}"
        )
    if not stated.adds_up:
        raise InvalidReport(
            f"{path}: the footer's counts do not add up: {stated.planned} questions, of them "
            f"{stated.absent} absent, {stated.inapplicable} inapplicable and "
            f"{sum(stated.counts.values())} with a verdict"
        )
    return report


def _texts(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidReport(f"{path} cannot be read: {error}") from None


def _line(text: str, number: int, path: Path) -> dict[str, Any]:
    try:
        line = json.loads(text)
        kinds: Any = schema()["$defs"]
        kind = line["kind"] if line["kind"] in ("header", "outcome", "footer") else None
        # The one definition that is meant, for a message about it and not about all three.
        rule = {"$ref": f"#/$defs/{kind}", "$defs": kinds} if kind else schema()
        jsonschema.validate(line, rule)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidReport(f"{path}: line {number} is no line of a report ({error})") from None
    except jsonschema.ValidationError as error:
        where = "/".join(str(p) for p in error.absolute_path)
        raise InvalidReport(f"{path}: line {number}: {where}: {error.message}") from None
    return line


def _outcome(line: Mapping[str, Any]) -> Outcome:
    plain = {name: value for name, value in line.items() if name != "kind"}
    plain.setdefault("shows", True)
    plain["verdict"] = Verdict(plain["verdict"])
    plain["diagnosis"] = tuple(plain["diagnosis"])
    if isinstance(plain["ratio"], str):
        plain["ratio"] = float(plain["ratio"])
    return Outcome(**plain)
