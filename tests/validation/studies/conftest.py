"""Studies smaller than the quick ones: what is measured does not change, how well does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from validation.parts.study import Study
from validation.studies import STUDIES

# Fewer queries, examples and models, and less patience. Of `validate`, the quick sizes are run.
SMALLER: dict[str, Any] = {
    "queries": 6,
    "examples": 4,
    "scratch": {"examples": 3, "seeds": 2, "trials": 60},
    "halves": {"models": 4, "seeds": 2, "trials": 40},
    # Of 60 trials some responses need all: roundings would decide whether they converge.
    "removal": {"queries": 4, "sizes": [1, 5], "trials": 200},
}


def _smaller(study: Study) -> Study:
    if study.name == "mnist":  # nothing is retrained there
        few = {"dampings": [study.config["headline"]], "train": 60, "iterations": 30}
        return replace(study, quick={**study.quick, **few})
    config = {**study.config, **study.quick}
    changed = {name: value for name, value in SMALLER.items() if name in config}
    if study.name != "digits":  # one damping is enough for all but one of them
        one = [config["headline"]]
        changed |= {"dampings": one, "retrained": {"+": one, "-": one}}
    return replace(study, quick={**study.quick, **changed})


@pytest.fixture(scope="module")
def smaller() -> Iterator[None]:
    """`--quick` means these sizes in the studies that retrain, and in that of large inputs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("digits", "diabetes", "breast_cancer", "digits_cnn", "mnist"):
            patch.setitem(STUDIES, name, _smaller(STUDIES[name]))
        yield
