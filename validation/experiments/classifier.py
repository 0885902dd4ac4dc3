"""What the studies of image classifiers add: pictures of queries, and what was claimed of them."""

from functools import partial
from typing import Any

from torch import Tensor

from validation.experiments import trained_model
from validation.experiments.pictures import gallery_of
from validation.literature.claims import image_claims
from validation.parts.study import Config, Earlier, Part
from validation.training import recipes
from validation.training.recipes import Recipe

__all__ = ["parts_of"]


def parts_of(recipe: Recipe, config: Config) -> list[Part]:
    """Everything measured of the model, the pictures, and what was claimed of them.

    Args:
        recipe: How the model comes about; its inputs are images as rows of pixels.
        config: The study's configuration.
    """
    return [
        *trained_model.parts_of(recipe, config),
        Part("pictures", partial(_pictures, recipe), ("train", "exact", "fits/Kronecker")),
        Part("claims", image_claims, ("pictures",)),
    ]


def _pictures(recipe: Recipe, config: Config, earlier: Earlier) -> Any:
    """Queries beside their most influential training images."""

    def image(pixels: Tensor) -> list[list[float]]:
        side = round(len(pixels) ** 0.5)
        return [[round(p, 3) for p in row] for row in pixels.reshape(side, side).tolist()]

    return gallery_of(recipes.trained_setting(recipe, config, earlier), image, config, earlier)
