"""Vectors: released ones never change and are made again by the generator; bad ones stop the reader."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from refimpl.oracle.cases import all_cases
from refimpl.oracle.cases.cookbook import recorded
from refimpl.oracle.faults import FAULTS
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.vectors import (
    BadVector,
    Vector,
    export,
    lint_folder,
    paths,
    read,
    released,
    verify_answers,
)
from refimpl.oracle.vectors.generate import arguments_of, basis_of, outputs_of, vector
from refimpl.oracle.vectors.killed import killed_faults
from refimpl.oracle.vectors.refusals import refused
from validation.proved.vectors import proved_vector

# Of SHA256SUMS itself: version 1 is released, and what is wrong with it is corrected in a version 2.
SUMS = "c12e7496d84233d4fbd3546368c9b789a4388a9c18639d03e17e1778b4208c44"


def test_released_files_never_change() -> None:
    sums = (released() / "SHA256SUMS").read_bytes()
    assert hashlib.sha256(sums).hexdigest() == SUMS
    known = dict(reversed(line.split("  ")) for line in sums.decode().splitlines())
    found = {p.relative_to(released()).as_posix() for p in released().glob("*/*")}
    assert found == set(known)
    for name, digest in known.items():
        assert hashlib.sha256((released() / name).read_bytes()).hexdigest() == digest, name


def test_the_released_vectors_are_enough_and_without_fault() -> None:
    assert len(list(paths(released()))) >= 40
    assert lint_folder(released()) == []


def test_the_docs_say_how_many_faults_the_released_vectors_show() -> None:
    made = [c for path in paths(released()) for c in read(path).plain["checks_made"]]
    faults = [c for c in made if c["kind"] == "faults"]
    shown, (tried,) = set().union(*(c["killed"] for c in faults)), {c["of"] for c in faults}
    assert f"show {len(shown)} of the {tried} planted faults" in Path("docs/vectors.md").read_text()


def same(made: Vector, kept: Vector) -> None:
    """JSON to the letter but for measured numbers; what is given bit for bit, outputs to rounding."""
    volatile = ("outputs/", "scales/", "arguments/")
    for v in (made, kept):
        for name, told in v.plain["arrays"].items():
            if name.startswith(volatile):
                del told["sha256"]
        for key in ("torch", "numpy", "version"):
            del v.plain["source"][key]
        for check in v.plain["checks_made"]:  # measured, and so different elsewhere
            check.pop("worst", None), check.pop("radius", None)
    for one, other in zip(made.plain["checks_made"], kept.plain["checks_made"], strict=True):
        # A fault of rounding's own size may fall on the other side of its threshold, and faults that are
        # planted since the vector was released are not in it.
        now, then = set(one.pop("killed", ())), set(other.pop("killed", ()))
        of, at_release = one.pop("of", 0), other.pop("of", 0)
        assert len(then - now) <= 0.02 * at_release
        assert len(now - then) <= 0.02 * at_release + of - at_release
    assert made.plain == kept.plain
    for name, array in made.arrays.items():
        own = kept.arrays[name]
        if not name.startswith(volatile):
            np.testing.assert_array_equal(array, own)
        elif name.startswith("outputs/"):
            scale = kept.arrays[name.replace("outputs/", "scales/")].astype(float)
            assert (np.abs(array - own) <= 30 * 2.0**-53 * scale).all(), name


@pytest.mark.parametrize("id", ["mlp/tanh-square", "tokens/hostile-padding", "convolution/oblong"])
def test_the_generator_makes_the_released_vector_again(id: str) -> None:
    made = vector(all_cases()[id], seed=int(recorded()[id]["seed"]))
    same(made, read(released() / f"{id}.json"))


def test_refusals_are_made_again() -> None:
    for made in refused():
        same(made, read(released() / f"{made.id}.json"))


def test_proved_vectors_are_made_again() -> None:
    made = proved_vector("proved/tanh-cross-entropy")
    assert made.plain["checks_made"][0]["radius"] < 1e-60
    same(made, read(released() / "proved/tanh-cross-entropy.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("mlp/tanh-square", "reject/nan-input", "either/no-damping"):
        for suffix in (".json", ".safetensors"):
            (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(released() / f"{name}{suffix}", tmp_path / "v" / f"{name}{suffix}")
    return tmp_path / "v"


def answer(folder: Path, name: str, **changed: np.ndarray) -> Path:
    """The right answers but for what is changed."""
    arrays = load_file(folder / f"{name}.safetensors")
    right = {k.removeprefix("outputs/"): a for k, a in arrays.items() if k.startswith("outputs/")}
    path = folder.parent / "a" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(right | changed, path)
    return folder.parent / "a"


def refuse(folder: Path, name: str, text: str = '{"rejected": "no"}') -> Path:
    path = folder.parent / "a" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder.parent / "a"


def verdicts(folder: Path, answers: Path, id: str) -> set[Verdict]:
    return {v.verdict for v in verify_answers(folder, answers) if v.vector == id}


def test_right_answers_pass_and_refusals_where_they_belong(folder: Path) -> None:
    answer(folder, "mlp/tanh-square")
    answer(folder, "either/no-damping")
    found = verify_answers(folder, refuse(folder, "reject/nan-input"))
    assert {v.verdict for v in found} == {Verdict.PASS}
    assert len(found) > 10
    (folder.parent / "a/either/no-damping.safetensors").unlink()
    answers = refuse(folder, "either/no-damping")
    assert verdicts(folder, answers, "either/no-damping") == {Verdict.PASS}


def test_wrong_answers_fail(folder: Path) -> None:
    arrays = load_file(folder / "mlp/tanh-square.safetensors")
    right, scale = arrays["outputs/gauss_newton"], arrays["scales/gauss_newton"]
    for factor, verdict in ((20, Verdict.PASS), (40, Verdict.FAIL)):
        moved = right + factor * 2.0**-53 * scale.astype(float)
        answers = answer(folder, "mlp/tanh-square", gauss_newton=moved)
        [found] = [v for v in verify_answers(folder, answers) if v.output == "gauss_newton"]
        assert found.verdict is verdict


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gauss_newton": np.full((2, 24), np.nan)}, "NaN"),
        ({"gauss_newton": np.zeros((2, 23))}, "shape"),
        ({"hessian": np.zeros(1)}, "no outputs"),
    ],
)
def test_what_is_no_answer_is_an_error(
    folder: Path, changed: dict[str, np.ndarray], said: str
) -> None:
    found = verify_answers(folder, answer(folder, "mlp/tanh-square", **changed))
    [wrong] = [v for v in found if v.verdict is Verdict.ERROR]
    assert said in wrong.detail


def test_refusing_what_has_an_answer_fails_and_so_does_answering_what_has_none(
    folder: Path,
) -> None:
    refuse(folder, "mlp/tanh-square")
    answers = answer(folder, "reject/nan-input", gauss_newton=np.zeros(1))
    assert verdicts(folder, answers, "mlp/tanh-square") == {Verdict.FAIL}
    assert verdicts(folder, answers, "reject/nan-input") == {Verdict.FAIL}
    assert verdicts(folder, answers, "either/no-damping") == {Verdict.UNSUPPORTED}


@pytest.mark.parametrize("text", ["", "[]", '{"rejected": "a", "unsupported": "b"}', '{"ok": 1}'])
def test_a_refusal_that_is_none_is_an_error(folder: Path, text: str) -> None:
    answers = refuse(folder, "reject/nan-input", text)
    assert verdicts(folder, answers, "reject/nan-input") == {Verdict.ERROR}


def test_unknown_fields_and_changed_arrays_stop_the_reader(folder: Path) -> None:
    path = folder / "mlp/tanh-square.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain | {"comment": "new"}))
    with pytest.raises(BadVector, match="comment"):
        verify_answers(folder, folder)
    path.write_text(json.dumps(plain))
    arrays = load_file(path.with_suffix(".safetensors"))
    save_file(arrays | {"inputs": arrays["inputs"] + 1}, path.with_suffix(".safetensors"))
    with pytest.raises(BadVector, match="inputs"):
        verify_answers(folder, folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expect": "either", "reason": "so"}, "licenses"),
        ({"flags": ["NoSuchFlag"]}, "no note"),
        ({"reason": "so"}, "a reason is given"),
        ({"checks_made": []}, "nothing confirmed"),
        ({"id": "mlp/other"}, "not the file's place"),
    ],
)
def test_the_linter_sees_what_the_schema_cannot(
    folder: Path, change: dict[str, object], said: str
) -> None:
    path = folder / "mlp/tanh-square.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert said in " ".join(lint_folder(folder))


def test_export_copies_the_released_files(tmp_path: Path) -> None:
    assert export(tmp_path) == len(list(paths(released())))
    assert (tmp_path / "SHA256SUMS").read_bytes() == (released() / "SHA256SUMS").read_bytes()


def test_a_vector_names_the_faults_that_it_shows(monkeypatch) -> None:
    """One that is seen in its own stage, one only in scores, one that no single answer can show."""
    case = all_cases()["mlp/tanh-square"]
    arguments = arguments_of(case)
    outputs = outputs_of(case, arguments)
    shown, hidden = {"s-summed-over-examples", "scores-negated"}, {"factors-cached-by-name"}
    tried = [f for f in FAULTS if f.slug in shown | hidden]
    monkeypatch.setattr("refimpl.oracle.vectors.killed.FAULTS", tried)
    found = killed_faults(case, arguments["vectors"], basis_of(arguments), outputs)
    assert (set(found["killed"]), found["of"]) == (shown, 3)
