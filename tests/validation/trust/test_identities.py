"""Every identity has a property-based test that bears its number, and the table says what it found."""

import ast
import math

from validation.trust.identities import IDENTITIES, missing, numbers, table
from validation.trust.levels import Test


def test_names_bear_numbers():
    assert numbers("tests/a.py::test_5_and_8_last_layer[x]") == [5, 8]
    assert numbers("test_17_the_step") == [17]
    assert numbers("tests/a.py::test_the_17_steps") == []


def test_every_identity_has_a_property_based_test(pytestconfig):
    shown = set()
    for path in (pytestconfig.rootpath / "tests").rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            if any(ast.unparse(d).startswith("given(") for d in node.decorator_list):
                shown |= set(numbers(node.name))
    assert shown == {identity.number for identity in IDENTITIES}
    assert len(IDENTITIES) == 29


def test_the_table_adds_up_what_the_tests_of_an_identity_measured():
    tests = [
        Test("tests/identities/x.py::test_5_and_8_a", "passed", 1.0, examples=30, ratio=0.5),
        Test("tests/identities/x.py::test_8_b", "passed", 1.0, examples=4, ratio=math.nan),
        Test("tests/identities/x.py::test_9_c", "failed", 1.0, examples=2, ratio=3.0),
    ]
    rows = {row["number"]: row for row in table(tests)}
    assert (rows[5]["examples"], rows[5]["ratio"], rows[5]["green"]) == (30, 0.5, True)
    assert (rows[8]["examples"], len(rows[8]["tests"])) == (34, 2)
    assert math.isnan(rows[8]["ratio"])
    assert not rows[9]["green"]
    assert rows[1]["ratio"] is None
    assert not rows[1]["green"]
    assert missing(list(rows.values())) == [n for n in range(1, 30) if n not in (5, 8)]
