"""The mistakes made on purpose: each fits the code as it stands, and leaves a file that can be run."""

import ast
import dataclasses

import pytest

from validation.trust.breakages import BREAKAGES, ROOT, broken


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda b: b.mistake)
def test_a_mistake_changes_what_the_code_does(breakage):
    right = ast.parse((ROOT / breakage.file).read_text(encoding="utf-8"))
    assert ast.dump(ast.parse(broken(breakage))) != ast.dump(right)
    assert (ROOT / breakage.tests).exists()


def test_a_mistake_that_no_longer_fits_is_named():
    stale = dataclasses.replace(BREAKAGES[0], right="no such line")
    with pytest.raises(ValueError, match="does not have 'no such line' exactly once"):
        broken(stale)


def test_every_mistake_of_the_list_is_in_the_document():
    told = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    assert all(f"| {b.mistake} | `{b.file}` |" in told for b in BREAKAGES)
    assert len(BREAKAGES) >= 10
