"""scikit-learn's handwritten digits, as they are and at the size of MNIST."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from validation.data.split import Split

__all__ = ["digit_images", "upsampled_digit_images"]


def digit_images(train: int, queries: int, seed: int) -> Split:
    """scikit-learn's handwritten digits, 8 x 8 pixels in [0, 1], at random into training and queries.

    Args:
        train: Number of training images.
        queries: Number of query images.
        seed: Of the permutation whose first images train and whose next are queries.

    Raises:
        ValueError: More images are asked for than there are.
    """
    from sklearn.datasets import load_digits  # on use: it takes half a second to load

    images, labels = load_digits(return_X_y=True)
    if train + queries > len(images):
        raise ValueError(f"{train} + {queries} images asked for, there are {len(images)}")
    order = np.random.RandomState(seed).permutation(len(images))
    x = torch.from_numpy(images[order] / 16.0)  # grey values 0..16
    y = torch.from_numpy(labels[order].astype(np.int64))
    last = train + queries
    return Split(x[:train], y[:train], x[train:last], y[train:last])


def upsampled_digit_images(train: int, queries: int, seed: int, side: int = 28) -> Split:
    """The same digits, bilinearly enlarged to side x side pixels: a stand-in where there is no MNIST.

    It has MNIST's shapes and not its difficulty: the enlarged images span the same 64 dimensions.

    Args:
        train: Number of training images.
        queries: Number of query images.
        seed: As for `digit_images`, whose split this is.
        side: Pixels along each side.

    Raises:
        ValueError: More images are asked for than there are.
    """

    def enlarged(x: Float[Tensor, "N 64"]) -> Float[Tensor, "N D"]:
        images = x.reshape(-1, 1, 8, 8)
        size = (side, side)
        return F.interpolate(images, size, mode="bilinear", align_corners=False).flatten(1)

    split = digit_images(train, queries, seed)
    return replace(split, inputs=enlarged(split.inputs), query_inputs=enlarged(split.query_inputs))
