"""What is made of a photo and its prediction: a mask, an overlay, a cut-out. Each at the photo's own size.

Pillow does the mixing, in bytes: a photo of 50 megapixels takes no more than a few copies of itself.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.labels import BACKGROUND, BORDER, Color
from petseg.overlays import OPACITY
from petseg.photos.predictor import PhotoPrediction

_LEAST = 1e-7


def mask_image(prediction: PhotoPrediction) -> Image.Image:
    """The class indices as pixels, with the classes' colors as the palette."""
    picture = Image.fromarray(prediction.mask)
    picture.putpalette(_palette(prediction.classes))
    return picture


def overlay(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image:
    """The classes' colors laid on the photo; the background shows the photo itself."""
    opacity = [0 if name == BACKGROUND else round(255 * OPACITY) for name in prediction.classes]
    colors = mask_image(prediction).convert("RGB")
    return Image.composite(colors, photo, _by_class(prediction.mask, opacity))


def cutout(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image | None:
    """The photo with a transparent background, its edge as soft as the model is unsure; None if no class is background.

    A trimap's border is neither: what lies in it is cut where pet and background are equally probable.
    """
    names = list(prediction.classes)
    if BACKGROUND not in names:
        return None
    background = prediction.scores[..., names.index(BACKGROUND)]
    border = prediction.scores[..., names.index(BORDER)] if BORDER in names else 0.0
    inside = np.clip(1.0 - background - border, _LEAST, 1.0)
    alpha = Image.fromarray(np.round(255 * inside / (inside + background)).astype(np.uint8))
    cut = photo.copy()
    cut.putalpha(alpha.resize(photo.size, Image.Resampling.BILINEAR))
    return cut


def _by_class(mask: NDArray[np.uint8], values: list[int]) -> Image.Image:
    table = np.zeros(256, np.uint8)
    table[: len(values)] = values
    return Image.fromarray(table[mask])


def _palette(classes: dict[str, Color]) -> list[int]:
    return [channel for color in classes.values() for channel in color]
