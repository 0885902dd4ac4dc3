"""Pictures: the pixels that were given."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from refimpl.report.images import picture


def test_ink_becomes_opacity() -> None:
    address = picture([[0.0, 1.0], [0.2, 0.6]])
    kind, content = address.split(",")
    assert kind == "data:image/png;base64"
    pixels = imread(io.BytesIO(base64.b64decode(content)), format="png")
    assert (pixels[..., :3] == 0).all()
    # eight bits of opacity
    np.testing.assert_allclose(pixels[..., 3], [[0, 1], [0.2, 0.6]], atol=1 / 255)


@pytest.mark.parametrize("pixels", [[[0.0, 1.5]], [[-0.1]], [[float("nan")]]])
def test_what_is_no_picture_is_refused(pixels: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"a picture is rows of values in \[0, 1\], got"):
        picture(pixels)
