"""The table of rungs: its order, and which of them a page has."""

from refimpl.rungs.curvatures import TOP, TRUTH, WIDER, rungs_of


def test_rungs_come_in_the_order_of_the_tables() -> None:
    names = [r.name for r in rungs_of(["Kronecker", "identity"])]
    assert names[:2] == [TOP, TRUTH]
    assert names[-1] == "identity"
    assert WIDER not in names
    assert [r.name for r in rungs_of(["Kronecker"], ["EK-FAC", TRUTH])] == [TRUTH, "EK-FAC"]
