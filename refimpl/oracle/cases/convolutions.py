"""Convolutions: patches, padding, strides, dilation, groups."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.cases.draw import FLATTEN, TANH, Draw, pool
from refimpl.oracle.question.case import Array, Case

__all__ = ["CASES"]


def _images(d: Draw, channels: int, size: int) -> Array:
    """Images whose neighbours are alike, along rows more than along columns.

    Noise would give patches a covariance close to a multiple of the identity.
    """
    x = d.normal(12, channels, size, size, scale=0.5)
    return 0.5 + x.cumsum(axis=3) + np.floor(256 * x.cumsum(axis=2)) / 1024


def _network(
    d: Draw, size: int, *flags: str, shape: tuple[int, int, int, int], **options: Any
) -> Case:
    """One convolution, a mean over places, a linear layer."""
    layers = [d.conv2d("conv", shape, **options), TANH, pool(2, 3), d.linear("fc", shape[0], 3)]
    channels = shape[1] * options.get("groups", 1)
    x = _images(d, channels, size)
    return d.case(layers, x, d.classes(3, 12), "Convolution", "PooledPositions", *flags)


def _strided(d: Draw) -> Case:
    return _network(d, 5, "StridedConvolution", shape=(3, 1, 2, 2), stride=2)


def _zeros(d: Draw) -> Case:
    return _network(d, 4, "PaddedConvolution", shape=(3, 1, 2, 2), padding=1)


def _reflect(d: Draw) -> Case:
    return _network(
        d, 4, "PaddedConvolution", "PaddingMode", shape=(3, 1, 2, 2), padding=1,
        padding_mode="reflect",
    )  # fmt: skip


def _replicate(d: Draw) -> Case:
    return _network(
        d, 3, "PaddedConvolution", "PaddingMode", shape=(3, 1, 2, 2), padding=1,
        padding_mode="replicate",
    )  # fmt: skip


def _circular(d: Draw) -> Case:
    return _network(
        d, 4, "PaddedConvolution", "PaddingMode", shape=(3, 1, 2, 2), padding=1,
        padding_mode="circular",
    )  # fmt: skip


def _dilated(d: Draw) -> Case:
    return _network(d, 5, "DilatedConvolution", shape=(3, 1, 2, 2), dilation=2)


def _grouped(d: Draw) -> Case:
    return _network(d, 3, "GroupedConvolution", shape=(4, 1, 2, 2), groups=2)


def _no_bias(d: Draw) -> Case:
    """Two channels: whoever flattens a patch the other way round mixes them up."""
    return _network(d, 3, "NoBias", "SeveralChannels", shape=(3, 2, 2, 2), bias=False)


def _oblong(d: Draw) -> Case:
    """Nothing is square: kernel, stride, padding and dilation differ by axis."""
    return _network(
        d, 6, "OblongKernel", "StridedConvolution", "PaddedConvolution", "DilatedConvolution",
        shape=(3, 1, 1, 3), stride=[2, 1], padding=[0, 2], dilation=[1, 2],
    )  # fmt: skip


def _flattened(d: Draw) -> Case:
    """Places are not pooled but flattened: every place has its own weights behind it."""
    layers = [
        d.conv2d("conv1", (2, 1, 2, 2)), TANH, d.conv2d("conv2", (2, 2, 1, 2)), TANH, FLATTEN,
        d.linear("fc", 4, 3),
    ]  # fmt: skip
    return d.case(
        layers, _images(d, 1, 3), d.classes(3, 12), "Convolution", "SeveralChannels",
        "Deep",
    )  # fmt: skip


CASES: dict[str, Callable[[Draw], Case]] = {
    "convolution/strided": _strided,
    "convolution/padding-zeros": _zeros,
    "convolution/padding-reflect": _reflect,
    "convolution/padding-replicate": _replicate,
    "convolution/padding-circular": _circular,
    "convolution/dilated": _dilated,
    "convolution/grouped": _grouped,
    "convolution/no-bias": _no_bias,
    "convolution/oblong": _oblong,
    "convolution/flattened": _flattened,
}
