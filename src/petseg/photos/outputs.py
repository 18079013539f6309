"""The images written for a photo: mask, overlay and cutout, each at the photo's own size.

Pillow blends bytes, so a 50-megapixel photo needs memory for only a few copies of itself.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.labels import BACKGROUND, BORDER
from petseg.overlays import OPACITY
from petseg.photos.predictor import PhotoPrediction

_EPSILON = 1e-7


def mask_image(prediction: PhotoPrediction) -> Image.Image:
    """Return the class indices as an indexed image whose palette holds the classes' colors."""
    image = Image.fromarray(prediction.mask)
    image.putpalette([channel for color in prediction.classes.values() for channel in color])
    return image


def overlay(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image:
    """Blend the classes' colors into the photo, except where the class is background."""
    opacity = [0 if name == BACKGROUND else round(255 * OPACITY) for name in prediction.classes]
    colors = mask_image(prediction).convert("RGB")
    return Image.composite(colors, photo, _map_classes(prediction.mask, opacity))


def cutout(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image | None:
    """Return the photo with a transparent background, or None if no class is named background.

    Alpha follows the probabilities, so uncertain edges are soft. A trimap's border counts as
    neither side: alpha is one half where foreground and background are equally probable.
    """
    names = list(prediction.classes)
    if BACKGROUND not in names:
        return None
    probabilities = prediction.network_probabilities
    background = probabilities[..., names.index(BACKGROUND)]
    border = probabilities[..., names.index(BORDER)] if BORDER in names else 0.0
    foreground = np.clip(1.0 - background - border, _EPSILON, 1.0)
    alpha = Image.fromarray(np.round(255 * foreground / (foreground + background)).astype(np.uint8))
    cut = photo.copy()
    cut.putalpha(alpha.resize(photo.size, Image.Resampling.BILINEAR))
    return cut


def _map_classes(mask: NDArray[np.uint8], values: list[int]) -> Image.Image:
    table = np.zeros(256, np.uint8)
    table[: len(values)] = values
    return Image.fromarray(table[mask])
