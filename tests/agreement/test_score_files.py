"""Scores are read as they were written, by numpy, safetensors, kronfluence's and bergson's layouts."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from refimpl.agreement.score_files import read_scores

SCORES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def bergson(folder, dtype="float32", written=True):
    """Records of an example: for each query a score and whether it was written, in 8 or 4 bytes."""
    folder.mkdir()
    size, step = (4, 8) if dtype == "float32" else (2, 4)
    layout = {
        "names": [f"{name}_{q}" for q in range(3) for name in ("score", "written")],
        "formats": [dtype, "bool"] * 3,
        "offsets": [q * step + place for q in range(3) for place in (0, size)],
        "itemsize": -(-3 * step // 8) * 8,
    }
    formats = [dtype.replace("bfloat16", "<u2"), "bool"] * 3
    records = np.zeros(5, dtype=np.dtype({**layout, "formats": formats}))
    for q in range(3):
        bits = torch.from_numpy(SCORES[q]).bfloat16().view(torch.int16).numpy().view(np.uint16)
        records[f"score_{q}"] = SCORES[q] if dtype == "float32" else bits
        records[f"written_{q}"] = True
    records["written_2"][4] = written
    records.tofile(folder / "scores.bin")
    info = {"num_items": 5, "num_scores": 3, "dtype": layout}
    (folder / "info.json").write_text(json.dumps(info))
    return folder


def test_numpys_file(tmp_path):
    np.save(tmp_path / "a.npy", SCORES)
    assert np.array_equal(read_scores(tmp_path / "a.npy"), SCORES)


def test_kronfluences_folder_and_the_tensor_of_a_name(tmp_path):
    scores = torch.from_numpy(SCORES).bfloat16()
    tensors = {"all_modules": scores, "other": 2 * scores}
    save_file(tensors, tmp_path / "pairwise_scores.safetensors")
    assert torch.equal(read_scores(tmp_path), scores)
    assert torch.equal(read_scores(tmp_path, "other"), 2 * scores)
    with pytest.raises(ValueError, match="no tensor 'third'; it has: all_modules, other"):
        read_scores(tmp_path, "third")
    save_file({"only": scores}, tmp_path / "one.safetensors")
    assert torch.equal(read_scores(tmp_path / "one.safetensors"), scores)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bergsons_folder_is_queries_by_examples(tmp_path, dtype):
    scores = read_scores(bergson(tmp_path / "run", dtype))
    expected = torch.from_numpy(SCORES).to(getattr(torch, dtype))
    assert torch.equal(torch.as_tensor(scores), expected)
    assert torch.equal(torch.as_tensor(read_scores(tmp_path / "run" / "scores.bin")), expected)


def test_a_run_of_bergson_that_was_cut_short_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not every score has been written"):
        read_scores(bergson(tmp_path / "run", written=False))


def test_what_cannot_be_read_says_why(tmp_path, monkeypatch):
    for name, said in [
        ("a.npy", "there is no file"),
        (".", "has neither pairwise_scores"),
    ]:
        with pytest.raises(ValueError, match=said):
            read_scores(tmp_path / name)
    for name, said in [
        ("b.npy", "is no npy file"),
        ("b.safetensors", "is no safetensors file"),
        ("b.txt", "expected .npy"),
    ]:
        (tmp_path / name).write_text("nothing")
        with pytest.raises(ValueError, match=said):
            read_scores(tmp_path / name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ValueError, match="needs `pip install safetensors`"):
        read_scores(tmp_path / "b.safetensors")
