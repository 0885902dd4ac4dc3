"""Mutants: what counts as killed, which survivor has which reason, and what is complained of."""

import json

import pytest

from validation.trust.mutants import Mutant, Reason, complaints, read, sample, summary

A = Mutant("refimpl.fast.kfac.xǁKFACǁ_solve__mutmut_3", "refimpl/fast/kfac.py", False)
B = Mutant("refimpl.exact.lbfgs.x_minimise__mutmut_1", "refimpl/exact/lbfgs.py", True)
CHANGES = {A: "- a + b\n+ a - b"}.__getitem__


def test_functions_are_named_as_they_are_written():
    assert A.function == "KFAC._solve"
    assert B.function == "minimise"
    assert Mutant("refimpl.scores.examples.x__solved__mutmut_1", "", True).function == "_solved"


def test_exit_codes_say_who_survived_and_who_was_not_tested(tmp_path):
    folder = tmp_path / "refimpl"
    folder.mkdir()
    codes = {
        "refimpl.a.x_f__mutmut_1": 1,
        "refimpl.a.x_f__mutmut_2": 0,
        "refimpl.a.x_f__mutmut_3": 33,
        "refimpl.a.x_f__mutmut_4": None,
        "refimpl.a.x_f__mutmut_5": -24,
    }
    (folder / "a.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    score = read(tmp_path)
    assert [m.killed for m in score] == [True, False, False, True]
    assert {m.file for m in score} == {"refimpl/a.py"}
    with pytest.raises(ValueError, match="nox -s mutants"):
        read(folder / "nowhere")


def test_survivors_get_their_reasons_and_the_rest_is_complained_of():
    known = [Reason("KFAC._solve", r"- a \+ b", "the same here"), Reason("*", "- never", "old")]
    score = summary([A, B], known, CHANGES, generated=2, version="3")
    assert (score["killed"], score["total"], score["score"]) == (1, 2, 0.5)
    assert score["by_module"]["refimpl/fast/kfac.py"] == {"total": 1, "killed": 0}
    (survivor,) = score["survivors"]
    assert survivor["reason"] == "the same here"
    assert score["stale"] == ["old"]
    assert complaints(score, 0.9) == [
        "no survivor has this reason any more: old",
        "score 50.0 % is below 90 %",
    ]
    score = summary([A, B], [], CHANGES, generated=2, version="3")
    (complaint,) = complaints(score, 0.5)
    assert complaint.startswith("refimpl/fast/kfac.py KFAC._solve survives without a reason")


def test_reasons_are_stale_only_where_every_mutant_was_tested():
    known = [Reason("*", "- never", "old")]
    assert summary([A, B], known, CHANGES, generated=9, version="3")["stale"] == []


def test_a_sample_is_drawn_from_all_and_has_an_interval(tmp_path):
    codes = {f"refimpl.a.x_f__mutmut_{n}": None for n in range(200)}
    (tmp_path / "a.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    chosen = sample(tmp_path, 50)
    assert chosen == sample(tmp_path, 50) != sample(tmp_path, 50, seed=1)
    assert set(chosen) <= set(codes)
    assert len(set(chosen)) == 50
    # all of 40 killed: Clopper and Pearson's lower end is 0.025^(1/40)
    low, high = summary([B] * 40, [], CHANGES, generated=200, version="3")["interval"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    assert summary([B] * 40, [], CHANGES, generated=40, version="3")["interval"] == [1.0, 1.0]
