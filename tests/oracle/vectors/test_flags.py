"""Flags: each has a note, each note a use; the linter says so where not."""

from refimpl.oracle.cases import all_cases
from refimpl.oracle.vectors import paths, read, released
from refimpl.oracle.vectors.flags import FLAGS, LICENCES, lint_flags


def used() -> dict[str, tuple[str, ...]]:
    found = {id: case.flags for id, case in all_cases().items()}
    for path in paths(released()):
        vector = read(path)
        found[f"vector {vector.id}"] = tuple(vector.plain["flags"])
    return found


def test_every_flag_has_a_note_and_every_note_a_use() -> None:
    assert lint_flags(used()) == []


def test_the_linter_sees_both() -> None:
    flags = used() | {"mlp/tanh-square": ("NoSuchFlag",)}
    del flags["vector reject/nan-input"]
    said = " ".join(lint_flags(flags))
    assert "'NoSuchFlag' has no note" in said
    assert "'NaNInput' is used by nothing" in said


def test_licences_are_flags() -> None:
    assert set(LICENCES) <= set(FLAGS)
