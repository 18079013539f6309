"""The images written for a photo: mask, overlay and cutout, each at the photo's own size.

Pillow blends bytes, a few rows at a time, so a large photo needs memory for itself, its mask, and
one result.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.labels import BACKGROUND
from petseg.overlays import OPACITY
from petseg.photos.prediction import PhotoPrediction

_PIXELS_AT_ONCE = 2**22
_COLOR_SPACE = slice(16, 20)  # in the header of an ICC profile


def mask_image(prediction: PhotoPrediction) -> Image.Image:
    """Return the class indices as an indexed image whose palette holds the classes' colors."""
    return _with_palette(prediction.mask, prediction)


def _with_palette(mask: NDArray[np.uint8], prediction: PhotoPrediction) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([channel for color in prediction.classes.values() for channel in color])
    return image


def overlay(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image:
    """Blend the classes' colors into the photo, except where the class is background."""
    opacity = [0 if name == BACKGROUND else round(255 * OPACITY) for name in prediction.classes]
    blended = Image.new("RGB", photo.size)
    rows = max(1, _PIXELS_AT_ONCE // photo.width)
    for top in range(0, photo.height, rows):
        mask = prediction.mask[top : top + rows]
        part = photo.crop((0, top, photo.width, top + len(mask)))
        colors = _with_palette(mask, prediction).convert("RGB")
        blended.paste(Image.composite(colors, part, _map_classes(mask, opacity)), (0, top))
    return blended


def cutout(photo: Image.Image, prediction: PhotoPrediction) -> Image.Image | None:
    """Return the photo with a transparent background, or None if no class is named background.

    Alpha follows the probabilities, so uncertain edges are soft.
    """
    if prediction.alpha is None:
        return None
    alpha = Image.fromarray(prediction.alpha)
    if alpha.size != photo.size:
        alpha = alpha.resize(photo.size, Image.Resampling.BILINEAR)
    cut = photo.copy()
    cut.putalpha(alpha)
    return cut


def color_profile(photo: Image.Image) -> bytes | None:
    """Return the ICC profile of a photo read as RGB, or None if it is for gray or CMYK files."""
    profile: bytes = photo.info.get("icc_profile") or b""
    return profile if profile[_COLOR_SPACE] == b"RGB " else None


def _map_classes(mask: NDArray[np.uint8], values: list[int]) -> Image.Image:
    table = np.zeros(256, np.uint8)
    table[: len(values)] = values
    return Image.fromarray(table[mask])
