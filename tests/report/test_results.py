"""The format: what the tests are given has the fields that it names."""

from typing import Any

from refimpl.report.examples import Passage, PassageQuery, Passages
from refimpl.report.results import Claim, Results


def follows(kind: Any, record: dict[str, Any]) -> bool:
    return kind.__required_keys__ <= set(record) <= set(kind.__annotations__)


def test_the_example_follows_the_format(results: Any, passages: Any, claims: Any) -> None:
    assert follows(Results, results | {"passages": passages, "claims": claims})
    assert follows(Passages, passages)
    assert all(follows(Claim, c) for c in claims)
    for query in passages["queries"]:
        assert follows(PassageQuery, query)
        assert all(follows(Passage, p) for p in query["helpful"] + query["harmful"])


def test_only_what_every_study_has_is_required() -> None:
    assert Results.__required_keys__ == {
        "format",
        "name",
        "title",
        "setting",
        "curvatures",
        "agreement",
        "provenance",
    }
    assert Passages.__optional_keys__ == {"other"}
