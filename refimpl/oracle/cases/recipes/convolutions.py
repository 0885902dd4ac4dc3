"""Convolutions: patches, padding, strides, dilation, groups."""

from typing import Any

import numpy as np

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import FLATTEN, TANH, Draw, pool
from refimpl.oracle.question.case import Array, Case


def _images(d: Draw, channels: int, size: int) -> Array:
    """Images whose neighbours are alike, along rows more than along columns.

    Noise would give patches a covariance close to a multiple of the identity.
    """
    x = d.normal(12, channels, size, size, scale=0.5)
    return 0.5 + x.cumsum(axis=3) + np.floor(256 * x.cumsum(axis=2)) / 1024


def _network(d: Draw, size: int, shape: tuple[int, int, int, int], **options: Any) -> Case:
    """One convolution, a mean over places, a linear layer."""
    layers = [d.conv2d("conv", shape, **options), TANH, pool(2, 3), d.linear("fc", shape[0], 3)]
    channels = shape[1] * options.get("groups", 1)
    return d.case(layers, _images(d, channels, size), d.classes(3, 12))


@recipe("convolution/strided", "Convolution PooledPositions StridedConvolution")
def strided(d: Draw) -> Case:
    """Patches skip places."""
    return _network(d, 5, (3, 1, 2, 2), stride=2)


@recipe("convolution/padding-zeros", "Convolution PooledPositions PaddedConvolution")
def zeros(d: Draw) -> Case:
    """Zeros around the image."""
    return _network(d, 4, (3, 1, 2, 2), padding=1)


@recipe("convolution/padding-reflect", "Convolution PooledPositions PaddedConvolution PaddingMode")
def reflect(d: Draw) -> Case:
    """The image mirrored at its edge."""
    return _network(d, 4, (3, 1, 2, 2), padding=1, padding_mode="reflect")


@recipe(
    "convolution/padding-replicate", "Convolution PooledPositions PaddedConvolution PaddingMode"
)
def replicate(d: Draw) -> Case:
    """The image's edge repeated."""
    return _network(d, 3, (3, 1, 2, 2), padding=1, padding_mode="replicate")


@recipe("convolution/padding-circular", "Convolution PooledPositions PaddedConvolution PaddingMode")
def circular(d: Draw) -> Case:
    """The image continued from its other side."""
    return _network(d, 4, (3, 1, 2, 2), padding=1, padding_mode="circular")


@recipe("convolution/dilated", "Convolution PooledPositions DilatedConvolution")
def dilated(d: Draw) -> Case:
    """Patches of places that lie apart."""
    return _network(d, 5, (3, 1, 2, 2), dilation=2)


@recipe("convolution/grouped", "Convolution PooledPositions GroupedConvolution")
def grouped(d: Draw) -> Case:
    """Two maps side by side."""
    return _network(d, 3, (4, 1, 2, 2), groups=2)


@recipe("convolution/no-bias", "Convolution PooledPositions NoBias SeveralChannels")
def no_bias(d: Draw) -> Case:
    """Two channels: whoever flattens a patch the other way round mixes them up."""
    return _network(d, 3, (3, 2, 2, 2), bias=False)


@recipe(
    "convolution/oblong",
    "Convolution PooledPositions OblongKernel StridedConvolution PaddedConvolution DilatedConvolution",
)
def oblong(d: Draw) -> Case:
    """Nothing is square: kernel, stride, padding and dilation differ by axis."""
    return _network(d, 6, (3, 1, 1, 3), stride=[2, 1], padding=[0, 2], dilation=[1, 2])


@recipe("convolution/flattened", "Convolution SeveralChannels Deep")
def flattened(d: Draw) -> Case:
    """Places are not pooled but flattened: every place has its own weights behind it."""
    first, second = d.conv2d("conv1", (2, 1, 2, 2)), d.conv2d("conv2", (2, 2, 1, 2))
    layers = [first, TANH, second, TANH, FLATTEN, d.linear("fc", 4, 3)]
    return d.case(layers, _images(d, 1, 3), d.classes(3, 12))
