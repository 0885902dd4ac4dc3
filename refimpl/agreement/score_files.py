"""Score matrices from files: npy, safetensors, and what kronfluence and bergson leave on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy import ndarray
from torch import Tensor

__all__ = ["read_scores"]

Matrix = Shaped[ndarray, "..."] | Shaped[Tensor, "..."]
KRONFLUENCE = "pairwise_scores.safetensors"
ALL_MODULES = "all_modules"


def read_scores(path: Path, key: str | None = None) -> Matrix:
    """Scores [queries, examples] in the dtype they are stored in.

    A folder is kronfluence's `scores_NAME`, with `pairwise_scores.safetensors`, or bergson's, with
    `info.json` and `scores.bin`: examples by queries there, returned as queries by examples.

    Args:
        path: An npy or safetensors file, or such a folder.
        key: Which tensor of a safetensors file; needed where there are several, none `all_modules`.

    Raises:
        ValueError: There is no such file, or it does not hold scores; the text says what is missing.
    """
    if path.is_dir():
        if (path / KRONFLUENCE).exists():
            return _safetensors(path / KRONFLUENCE, key)
        if (path / "scores.bin").exists() and (path / "info.json").exists():
            return _bergson(path)
        raise ValueError(
            f"{path} has neither {KRONFLUENCE} (kronfluence) nor info.json and scores.bin (bergson)"
        )
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} is no npy file of numbers: {error}") from None
    if path.suffix == ".safetensors":
        return _safetensors(path, key)
    if path.name == "scores.bin":
        return read_scores(path.parent)
    raise ValueError(f"{path}: expected .npy, .safetensors, or a folder of kronfluence or bergson")


def _safetensors(path: Path, key: str | None) -> Shaped[Tensor, "..."]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError(f"{path} needs `pip install safetensors` to be read") from None
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    if key is None:
        key = ALL_MODULES if ALL_MODULES in tensors or len(tensors) != 1 else next(iter(tensors))
    if key not in tensors:
        names = ", ".join(sorted(tensors)) or "none"
        raise ValueError(f"{path} has no tensor {key!r}; it has: {names}. Name one as its key")
    return tensors[key]


def _bergson(folder: Path) -> Matrix:
    try:
        info: dict[str, Any] = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        count, layout = info["num_scores"], info["dtype"]
        short = (
            "bfloat16" in layout["formats"]
        )  # which numpy does not know: the upper half of a float32
        formats = ["<u2" if f == "bfloat16" else f for f in layout["formats"]]
        record: Any = {**layout, "formats": formats}
        records = np.fromfile(folder / "scores.bin", dtype=np.dtype(record))
        columns = [records[f"score_{query}"] for query in range(count)]
        written = all(records[f"written_{query}"].all() for query in range(count))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} does not hold bergson's scores: {error}") from None
    if len(records) != info["num_items"] or not written:
        raise ValueError(f"{folder}: not every score has been written; the run was cut short")
    scores = np.stack(columns)
    if not short:
        return scores
    return torch.from_numpy((scores.astype(np.uint32) << 16).view(np.float32)).bfloat16()
