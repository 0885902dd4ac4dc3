"""Studies smaller than the quick ones: what is measured does not change, how well does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from validation.studies import STUDIES

# Fewer queries and examples. Of `validate`, the quick sizes themselves are run.
SMALLER: dict[str, Any] = {"queries": 6, "examples": 4}


@pytest.fixture(scope="module")
def smaller() -> Iterator[None]:
    """`--quick` means these sizes in the studies that retrain."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("digits", "diabetes", "breast_cancer", "digits_cnn"):
            study = STUDIES[name]
            patch.setitem(STUDIES, name, replace(study, quick={**study.quick, **SMALLER}))
        yield
