"""Saved results: whole, the same bits, and never taken for another's."""

import math
from pathlib import Path

import numpy as np
import pytest

from validation.parts.saved import (
    Result,
    fingerprint,
    load,
    plain,
    save,
    source_hash,
    write_atomically,
)

RESULT = Result({"pi": math.pi, "names": ["a", "b"]}, {"x": np.arange(6.0).reshape(2, 3) / 7}, 1.5)


def test_a_result_comes_back_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path / "part", "key", RESULT)
    found = load(tmp_path / "part", "key")
    assert found is not None
    assert found.values == RESULT.values
    assert found.arrays["x"].tobytes() == RESULT.arrays["x"].tobytes()
    assert found.seconds == 1.5


def test_nothing_and_another_key_give_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "part", "key") is None
    save(tmp_path / "part", "key", RESULT)
    assert load(tmp_path / "part", "other") is None
    assert load(tmp_path / "part", None) is not None


@pytest.mark.parametrize("ending", [".npz", ".json"])
def test_a_damaged_or_missing_file_gives_nothing(ending: str, tmp_path: Path) -> None:
    save(tmp_path / "part", "key", RESULT)
    file = tmp_path / f"part{ending}"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert load(tmp_path / "part", "key") is None
    file.unlink()
    assert load(tmp_path / "part", "key") is None


def test_a_writer_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, lambda stream: stream.write(b"old"))

    def fail(stream: object) -> None:
        stream.write(b"ne")  # type: ignore[attr-defined]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(file, fail)
    assert file.read_bytes() == b"old"


def test_plain_makes_json_of_numpy_and_none_of_what_is_not_finite() -> None:
    found = plain({"a": np.float64(0.5), "b": np.array([1, 2]), "c": (True, math.nan, np.inf)})
    assert found == {"a": 0.5, "b": [1, 2], "c": [True, None, None]}
    assert type(found["a"]) is float


@pytest.mark.parametrize("value", [object(), {1: 2}, {"deep": [{"er": {1, 2}}]}])
def test_plain_refuses_what_json_cannot_hold(value: object) -> None:
    with pytest.raises(TypeError):
        plain(value)


def test_fingerprints_tell_values_apart_but_not_orders_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert (
        len({fingerprint(1), fingerprint(2), fingerprint("1"), fingerprint([1]), fingerprint()})
        == 5
    )


def test_the_source_hash_sees_content_and_names(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("x = 1")
    first = source_hash(tmp_path, [a])
    a.write_text("x = 2")
    assert source_hash(tmp_path, [a]) != first
    b.write_text("x = 1")
    assert source_hash(tmp_path, [b]) != first
