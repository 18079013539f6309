"""Draw masks and errors on images."""

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL, Color

RgbImage = NDArray[np.uint8]  # (H, W, 3)
Mask = NDArray[np.uint8]  # (H, W)

OPACITY = 0.55
"""Opacity of class colors on an image."""
_ERROR_OPACITY = 0.9

FALSE_NEGATIVE: Color = (86, 180, 233)  # sky blue
FALSE_POSITIVE: Color = (213, 94, 0)  # vermillion
WRONG_CLASS: Color = (240, 228, 66)  # yellow


def error_legend(background: int | None) -> dict[str, Color]:
    """Return the names and colors of the errors that `overlay_errors` shows."""
    if background is None:
        return {"wrong class": FALSE_POSITIVE}
    return {
        "false negative": FALSE_NEGATIVE,
        "false positive": FALSE_POSITIVE,
        "wrong class": WRONG_CLASS,
    }


def overlay_mask(
    image: RgbImage,
    mask: Mask,
    colors: list[Color],
    background: int | None,
    opacity: float = OPACITY,
) -> RgbImage:
    """Blend class colors into an image, except where the mask is background or ignored."""
    palette = np.zeros((256, 3), np.float32)
    palette[: len(colors)] = colors
    painted = mask != IGNORE_LABEL
    if background is not None:
        painted &= mask != background
    return _blend(image, palette[mask], painted * opacity)


def overlay_errors(
    image: RgbImage, truth: Mask, predicted: Mask, background: int | None
) -> RgbImage:
    """Fade an image to gray and color its wrong pixels by the kind of error."""
    gray = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    faded = np.repeat((60 + 0.55 * gray)[..., None], 3, axis=2).astype(np.uint8)
    wrong = (truth != predicted) & (truth != IGNORE_LABEL)
    colors = np.zeros((*truth.shape, 3), np.float32)
    if background is None:
        colors[...] = FALSE_POSITIVE
    else:
        colors[...] = WRONG_CLASS
        colors[predicted == background] = FALSE_NEGATIVE
        colors[truth == background] = FALSE_POSITIVE
    return _blend(faded, colors, wrong * _ERROR_OPACITY)


def _blend(image: RgbImage, colors: NDArray[np.float32], opacity: NDArray[np.float64]) -> RgbImage:
    mixed = image + (colors - image) * opacity[..., None]
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
