"""MNIST's files: read as the format says, and refused by name where they are not that."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from validation.data import MNIST_FILES, mnist_images

Files = dict[str, bytes]


def idx(entries: np.ndarray) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, entries.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in entries.shape) + entries.tobytes()


def images(count: int) -> np.ndarray:
    """Images of 3 x 2 pixels of which the first pixel tells the number and the last is white."""
    x = np.arange(count * 6, dtype=np.uint8).reshape(count, 3, 2)
    x[:, 0, 0] = np.arange(count)
    x[:, 2, 1] = 255
    return x


def labels(count: int) -> np.ndarray:
    """Labels that follow from an image's number."""
    return (np.arange(count) % 10).astype(np.uint8)


def files(train: int = 20, test: int = 12) -> Files:
    arrays = [images(train), labels(train), images(test)[::-1].copy(), labels(test)[::-1].copy()]
    return dict(zip(MNIST_FILES, map(idx, arrays), strict=True))


def write(folder: Path, content: Files) -> Path:
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    split = mnist_images(write(tmp_path, files()), 20, 12, seed=0)
    assert split.inputs.shape == (20, 6)
    assert split.query_inputs.shape == (12, 6)
    assert split.inputs.dtype == torch.float64
    numbers = (split.inputs[:, 0] * 255).round().long()
    assert sorted(numbers.tolist()) == list(range(20))
    assert torch.equal(numbers % 10, split.targets)
    assert torch.equal((split.query_inputs[:, 0] * 255).round().long() % 10, split.query_targets)
    expected = images(20)[numbers.numpy()].reshape(20, 6) / 255
    assert np.array_equal(split.inputs.numpy(), expected)  # row by row, first pixel first
    assert bool((split.inputs[:, 5] == 1).all())


def test_training_images_come_from_the_training_files_and_queries_from_the_test_files(
    tmp_path: Path,
) -> None:
    content = files()
    content[MNIST_FILES[0]] = idx(np.zeros((20, 3, 2), np.uint8))
    split = mnist_images(write(tmp_path, content), 5, 4, seed=0)
    assert not split.inputs.any()
    assert bool((split.query_inputs[:, 5] == 1).all())


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dotted", [False, True])
def test_every_spelling_of_the_names_is_read(tmp_path: Path, ending: str, dotted: bool) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.mkdir()
    other.mkdir()
    spelled = {
        (name.replace("-idx", ".idx") if dotted else name) + ending: (
            gzip.compress(data) if ending else data
        )
        for name, data in files().items()
    }
    one, two = (
        mnist_images(write(plain, files()), 7, 5, 3),
        mnist_images(write(other, spelled), 7, 5, 3),
    )
    assert torch.equal(one.inputs, two.inputs)
    assert torch.equal(one.query_targets, two.query_targets)


def test_a_seed_fixes_the_draw(tmp_path: Path) -> None:
    folder = write(tmp_path, files())
    one, same, other = (
        mnist_images(folder, 9, 3, 0),
        mnist_images(folder, 9, 3, 0),
        mnist_images(folder, 9, 3, 1),
    )
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.query_inputs, same.query_inputs)
    assert not torch.equal(one.inputs, other.inputs)


def test_a_missing_folder_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder") as error:
        mnist_images(tmp_path / "nowhere", 1, 1, 0)
    assert all(name in str(error.value) for name in MNIST_FILES)
    content = files()
    del content[MNIST_FILES[1]], content[MNIST_FILES[2]]
    with pytest.raises(FileNotFoundError) as error:
        mnist_images(write(tmp_path, content), 1, 1, 0)
    lacks, names = str(error.value).split(":")
    assert [name in lacks for name in MNIST_FILES] == [False, True, True, False]
    assert all(name in names for name in MNIST_FILES)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (MNIST_FILES[0], lambda data: data[:-1], "135 bytes, expected 136"),
        (MNIST_FILES[0], lambda data: data + b"\0", "137 bytes, expected 136"),
        (MNIST_FILES[0], lambda data: data[:9], "within its header"),
        (MNIST_FILES[0], lambda data: b"", "starts with the bytes"),
        (MNIST_FILES[0], lambda data: idx(labels(20)), "00 00 08 01, expected 00 00 08 03"),
        (MNIST_FILES[1], lambda data: idx(images(20)), "00 00 08 03, expected 00 00 08 01"),
        # 32-bit floats
        (MNIST_FILES[3], lambda data: bytes([0, 0, 13, 1]) + data[4:], "00 00 0d 01, expected"),
        (MNIST_FILES[1], lambda data: idx(labels(19)), "20 images and .* 19 labels"),
        (MNIST_FILES[2], lambda data: idx(np.zeros((12, 2, 2), np.uint8)), "6 pixels and .* of 4"),
    ],
    ids=["short", "long", "header only", "empty", "labels", "images", "floats", "count", "size"],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    content = files()
    content[name] = change(content[name])
    with pytest.raises(ValueError, match=message) as error:
        mnist_images(write(tmp_path, content), 4, 2, 0)
    assert name in str(error.value)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-20], lambda data: b"none of it" + data], ids=["cut", "other"]
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    content = files()
    data = gzip.compress(content.pop(MNIST_FILES[0]))
    write(tmp_path, {**content, MNIST_FILES[0] + ".gz": change(data)})
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is no complete gzip file"):
        mnist_images(tmp_path, 4, 2, 0)


def test_more_images_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"13 images asked for, .*t10k.* has 12"):
        mnist_images(write(tmp_path, files()), 4, 13, 0)
