"""Sessions: adapters judged as plain data, reproductions run as processes of their own."""

import json
import types

from refimpl.oracle.cases import all_cases, quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.selftest.reference import Reference
from validation.peers import session
from validation.peers.session import judged, reproduced, whole

CASE = next(iter(all_cases().values()))
ONE = {CASE.id: CASE}
FIRST = CHECKS[:1]


class Scaled(Reference):
    """Gradients twice too large."""

    def gradients(self, case):
        return {n: 2 * g for n, g in super().gradients(case).items()}


def test_outcomes_are_plain_data_with_the_distance_beside_them():
    right, wrong = judged([Reference, Scaled], ONE, FIRST)
    assert json.loads(json.dumps(wrong, allow_nan=False)) == wrong
    assert {o["verdict"] for o in right["outcomes"]} == {"pass"}
    assert {o["verdict"] for o in wrong["outcomes"]} == {"fail"}
    assert wrong["distances"][CASE.id]["gradients"] == 1.0
    assert wrong["name"] == "refimpl"


def test_a_reproduction_deviates_agrees_or_is_broken(tmp_path):
    for name, code in (
        ("a", "raise SystemExit(False)"),
        ("b", "raise SystemExit(True)"),
        ("c", "assert 1 == 2"),
    ):
        (tmp_path / f"{name}.py").write_text(
            f'"""What {name} shows.\n\nWhy.\n"""\nprint(7)\n{code}\n'
        )
    records = reproduced(tmp_path)
    assert [r["deviates"] for r in records] == [True, False, None]
    assert [r["output"] for r in records] == ["7"] * 3
    assert records[0]["statement"] == "What a shows."
    assert records[0]["argument"] == "Why."
    assert "AssertionError" in records[2]["error"]


def test_a_reproduction_runs_without_the_path_that_holds_refimpl(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    (tmp_path / "a.py").write_text('"""A."""\nimport os\nprint(os.environ.get("PYTHONPATH"))\n')
    assert reproduced(tmp_path)[0]["output"] == "None"


def test_a_session_says_what_the_library_documents(monkeypatch, tmp_path):
    monkeypatch.setattr(session, "HERE", tmp_path)
    monkeypatch.setattr(session, "judged", lambda adapters, chosen: [sorted(chosen)])
    module = types.ModuleType("dattri", " Its words. ")
    module.ADAPTERS = ()
    records = whole("dattri", module, quick=True)
    assert records["documented"] == "Its words."
    assert records["requirement"] == "dattri"
    assert records["adapters"] == [sorted(quick())]
    assert whole("dattri", module, quick=False)["adapters"] == [sorted(all_cases())]
