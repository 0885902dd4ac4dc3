"""A case is one function under `recipe`: what becomes of one that a test adds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from refimpl.oracle.cases import RECIPES, all_cases, every_recipe, recipes
from refimpl.oracle.cases.cookbook import recipe, recorded
from refimpl.oracle.cases.draw import Draw
from refimpl.oracle.cases.spectrum import certified, required_gap, search
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.truth.truth import Truth
from refimpl.oracle.vectors.flags import FLAGS

ID = "test/one-output"


@recipe(ID, "SquaredError OneOutput")
def one_output(d: Draw) -> Case:
    layers, x, y = d.mlp(2, 3, 1), d.normal(9, 2, mean=0.5), d.normal(9, 1)
    return d.case(layers, x, y, loss=LossSpec("squared_error"))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, ID, one_output)
    monkeypatch.setitem(recorded(), ID, search(ID, one_output))


@pytest.mark.usefixtures("registered")
def test_it_is_certified_and_flagged_and_a_second_implementation_agrees() -> None:
    case = all_cases()[ID]
    assert list(all_cases()) == list(RECIPES)
    assert set(recorded()) == set(RECIPES)
    assert certified(case) >= required_gap(case)
    assert case.flags == ("SquaredError", "OneOutput")
    assert set(case.flags) <= set(FLAGS)
    for name, g in Truth(case).gradients.items():
        np.testing.assert_allclose(Pipeline().gradients(case)[name], g, rtol=1e-12, atol=1e-15)


@pytest.mark.usefixtures("registered")
def test_it_is_asked_about() -> None:
    asked = {id: case for id, case in all_cases().items() if case.family == "test"}
    report = run_checks(
        InProcess(Reference()), asked, [c for c in CHECKS if c.slug == "gradients-equal"]
    )
    assert [o.case for o in report.outcomes] == [ID]
    assert {o.verdict for o in report.outcomes} == {Verdict.PASS}


def test_without_a_recorded_seed_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "test/unrecorded", one_output)
    with pytest.raises(ValueError, match="has no seed yet: run python -m"):
        all_cases()


@pytest.fixture
def another_place(tmp_path: Path) -> Iterator[Path]:
    recipes.__path__.append(str(tmp_path))
    yield tmp_path
    recipes.__path__.remove(str(tmp_path))


def test_a_file_is_found_by_its_place_and_a_new_family_comes_last(another_place: Path) -> None:
    (another_place / "added_by_a_test.py").write_text(
        "from refimpl.oracle.cases.cookbook import recipe\n\n"
        "new = recipe('test/new', 'NoBias')(lambda d: d)\n"
        "old = recipe('mlp/new', 'NoBias')(lambda d: d)\n"
    )
    ids = [r.id for r in every_recipe()]
    assert ids[-1] == "test/new"
    assert ids[ids.index("tokens/hostile-padding") - 1] != "test/new"
    assert [i for i in ids if i not in ("test/new", "mlp/new")] == list(RECIPES)
