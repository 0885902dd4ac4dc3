"""Small grey pictures as data addresses."""

import base64
import io

import numpy as np
from jaxtyping import Float
from matplotlib.image import imsave

__all__ = ["data_address", "picture"]


def picture(pixels: list[list[float]]) -> str:
    """A grey image, 0 paper and 1 ink, as a PNG whose paper is transparent.

    Ink is black; the page turns it white on dark paper.

    Args:
        pixels: Rows of values in [0, 1].

    Raises:
        ValueError: The rows do not form a rectangle, or a value lies outside [0, 1].
    """
    ink: Float[np.ndarray, "h w"] = np.asarray(pixels, dtype=np.float64)
    if ink.ndim != 2 or not ((ink >= 0) & (ink <= 1)).all():
        raise ValueError(
            f"a picture is rows of values in [0, 1], got shape {ink.shape}, "
            f"values from {ink.min():g} to {ink.max():g}"
        )
    colours = np.zeros((*ink.shape, 4))
    colours[..., 3] = ink
    stream = io.BytesIO()
    imsave(stream, colours, format="png", metadata={"Software": "refimpl"})
    return data_address(stream.getvalue(), "image/png")


def data_address(content: bytes, kind: str) -> str:
    """Content as a data: address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
