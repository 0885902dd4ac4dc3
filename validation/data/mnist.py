"""MNIST from its four IDX files, wherever the user keeps them."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from validation.data.split import Split

__all__ = ["MNIST_FILES", "mnist_images"]

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def mnist_images(folder: Path, train: int, queries: int, seed: int) -> Split:
    """MNIST, pixels in [0, 1] and flattened; queries come from the test images.

    Args:
        folder: Holds the four files `MNIST_FILES`, each with or without ".gz", and with "-idx" or
            ".idx" in its name.
        train: Number of training images, drawn from the training files.
        queries: Number of query images, drawn from the test files.
        seed: Of both draws.

    Raises:
        FileNotFoundError: The folder or some of the files are not there.
        ValueError: A file is not what its name says, the files do not belong together, or more
            images are asked for than there are.
    """
    paths = _find(Path(folder))
    random = np.random.RandomState(seed)
    inputs, targets = _draw(paths[0], paths[1], train, random)
    query_inputs, query_targets = _draw(paths[2], paths[3], queries, random)
    if inputs.shape[1] != query_inputs.shape[1]:
        raise ValueError(
            f"{paths[0]} has images of {inputs.shape[1]} pixels and {paths[2]} of "
            f"{query_inputs.shape[1]}: they are not of one data set"
        )
    return Split(inputs, targets, query_inputs, query_targets)


def _find(folder: Path) -> list[Path]:
    """The four files in the order of MNIST_FILES."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}: give the folder that holds MNIST's four files, "
            + ", ".join(MNIST_FILES)
        )
    paths: list[Path] = []
    missing: list[str] = []
    for name in MNIST_FILES:
        spellings = (name, name.replace("-idx", ".idx"))
        candidates = [folder / (s + end) for s in spellings for end in ("", ".gz")]
        present = [path for path in candidates if path.is_file()]
        paths += present[:1]
        missing += [] if present else [name]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: MNIST is the four files "
            f"{', '.join(MNIST_FILES)} (each may end in .gz)"
        )
    return paths


def _draw(
    images_path: Path, labels_path: Path, count: int, random: np.random.RandomState
) -> tuple[Float[Tensor, "N D"], Int[Tensor, " N"]]:
    images, labels = _read(images_path, dimensions=3), _read(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images)} images and {labels_path} {len(labels)} labels: "
            "they are not of one data set"
        )
    if count > len(images):
        raise ValueError(f"{count} images asked for, {images_path} has {len(images)}")
    chosen = random.permutation(len(images))[:count]
    x = images[chosen].reshape(count, -1).astype(np.float64) / 255
    return torch.from_numpy(x), torch.from_numpy(labels[chosen].astype(np.int64))


def _read(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The entries of an IDX file of unsigned bytes.

    Two zero bytes, the type (0x08), the number of dimensions, each dimension as a big-endian 32-bit
    integer, then the entries in row-major order.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no complete gzip file ({error}): fetch it again") from error
    magic = bytes([0, 0, 0x08, dimensions])
    if content[:4] != magic:
        raise ValueError(
            f"{path} starts with the bytes {content[:4].hex(' ')}, expected {magic.hex(' ')} "
            f"(IDX, unsigned bytes, {dimensions} dimensions): this is another kind of file"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{path} ends after {len(content)} bytes, within its header")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise ValueError(
            f"{path} has {len(content)} bytes, expected {expected} for its dimensions {shape}: "
            "it is cut short or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
