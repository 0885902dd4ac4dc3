"""Data sets that need no download."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from torch import Tensor

__all__ = ["Split", "digits"]


@dataclass(frozen=True)
class Split:
    """Training examples and queries."""

    inputs: Float[Tensor, "N D"]
    targets: Int[Tensor, " N"]
    query_inputs: Float[Tensor, "Q D"]
    query_targets: Int[Tensor, " Q"]


def digits(train: int, queries: int, seed: int) -> Split:
    """scikit-learn's handwritten digits, 8 x 8 pixels in [0, 1], at random into training and queries.

    Args:
        train: Number of training images.
        queries: Number of query images.
        seed: Of the permutation whose first images train and whose next are queries.

    Raises:
        ValueError: More images are asked for than there are.
    """
    images, labels = load_digits(return_X_y=True)
    if train + queries > len(images):
        raise ValueError(f"{train} + {queries} images asked for, there are {len(images)}")
    order = np.random.RandomState(seed).permutation(len(images))
    x = torch.from_numpy(images[order] / 16.0)  # grey values 0..16
    y = torch.from_numpy(labels[order].astype(np.int64))
    last = train + queries
    return Split(x[:train], y[:train], x[train:last], y[train:last])
