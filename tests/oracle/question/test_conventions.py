"""A convention is one record: what is made of it when a test adds one."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracle.judging import check_of, verdict

from refimpl.oracle.cases import all_cases
from refimpl.oracle.diagnosis import diagnose
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.convention import Choice, Convention
from refimpl.oracle.question.conventions import Conventions, records
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.selftest.honest import implementation, variants
from refimpl.oracle.selftest.pages import conventions_page
from refimpl.oracle.subject.adapter import Declaration
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.trial import Trial
from refimpl.oracle.vectors import files

CASE = "mlp/tanh-square"
IN_TENS = {"score_unit": "tenth"}
UNIT = Convention(
    "the unit of scores",
    "multiplies scores by 10",
    (
        Choice("one", "one", "scores are counted in ones"),
        Choice(
            "tenth", "a tenth", "scores are counted in tenths", {"scores": lambda s, case: 10 * s}
        ),
    ),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    UNIT.__set_name__(Conventions, "score_unit")
    monkeypatch.setattr(Conventions, "score_unit", UNIT, raising=False)


class Tenths(Pipeline):
    """The pipeline has no such convention: an author's own code."""

    def scores(self, case: Case, seed: int) -> np.ndarray:
        return 10 * super().scores(case, seed)


def test_it_can_be_declared() -> None:
    assert Declaration("x", conventions=IN_TENS).chosen.score_unit == "tenth"
    assert Declaration("x").chosen.score_unit == "one"
    with pytest.raises(ValueError, match="'score_unit' must be one of"):
        Declaration("x", conventions={"score_unit": "dozen"})


def test_the_answers_are_transformed() -> None:
    assert verdict(
        Tenths(Declaration("x", conventions=IN_TENS)), all_cases()[CASE], "scores-equal"
    ) is (Verdict.PASS)
    assert verdict(Tenths(), all_cases()[CASE], "scores-equal") is Verdict.FAIL


def test_it_is_in_the_table_of_the_docs() -> None:
    page = conventions_page("<!-- the conventions -->\nold\n<!-- end -->")
    cells = ("`score_unit`", '`"one"`, `"tenth"`', f"{UNIT.about}: one; a tenth", UNIT.judged)
    assert f"| {' | '.join(cells)} |" in page.splitlines()
    assert "old" not in page


def test_vectors_may_have_it_and_hold_what_differs_alone(tmp_path: Path) -> None:
    path = files.released() / f"{CASE}.json"
    vector = files.read(path)
    assert vector.plain["conventions"]["score_unit"] == "one"  # version 1 knows nothing of it
    assert Conventions.of(vector.plain["conventions"]) == Conventions()
    changed = {**vector.plain, "conventions": {**vector.plain["conventions"], **IN_TENS}}
    files.write(files.Vector(changed, vector.arrays), tmp_path)
    assert json.loads((tmp_path / f"{CASE}.json").read_text())["conventions"] == IN_TENS
    assert files.read(tmp_path / f"{CASE}.json").plain == changed


def test_it_is_a_variant_of_the_self_test_in_which_the_reference_is_right() -> None:
    assert IN_TENS in variants()
    assert (
        verdict(implementation("reference", IN_TENS), all_cases()[CASE], "scores-equal")
        is Verdict.PASS
    )


def test_the_diagnosis_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Pipeline.scored

    def scored(self: Pipeline, case: Case, *args: np.ndarray) -> np.ndarray:
        return honest(self, case, *args) * (10 if case.conventions.score_unit == "tenth" else 1)

    monkeypatch.setattr(Pipeline, "scored", scored)  # the pipeline's own formula of it
    trial = Trial(InProcess(Tenths()), all_cases()[CASE])
    sentences = diagnose(trial, check_of("scores-equal"), "isolated")
    assert any(
        "scores are counted in tenths (another convention than declared" in s for s in sentences
    )


def test_the_schema_that_is_shipped_has_every_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Conventions, "score_unit")
    shipped = json.loads((files.released().parent / "vector.schema.json").read_text())
    assert shipped == files.schema()
    assert set(shipped["properties"]["conventions"]["properties"]) == set(records())


def test_conventions_are_frozen_and_equal_by_their_choices() -> None:
    one, other = Conventions(fisher="sampled", sign="influence"), Conventions(fisher="sampled")
    assert one == other
    assert hash(one) == hash(other)
    assert one.but(fisher="exact") == Conventions()
    with pytest.raises(AttributeError, match="frozen"):
        one.fisher = "exact"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [({"fishr": "exact"}, "there is no convention"), ({"samples": 0}, "must be >= 1")],
)
def test_what_is_no_convention_is_refused(chosen: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conventions.of(chosen)
