"""Masks made visible: each a pure function of arrays."""

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL, Color

Picture = NDArray[np.uint8]  # (H, W, 3)
Mask = NDArray[np.uint8]  # (H, W)

OPACITY = 0.55
"""Of the classes' colors where they are laid on a picture."""

FALSE_NEGATIVE: Color = (86, 180, 233)  # sky blue
FALSE_POSITIVE: Color = (213, 94, 0)  # vermillion
WRONG_CLASS: Color = (240, 228, 66)  # yellow


def error_legend(background: int | None) -> dict[str, Color]:
    """What the colors of `overlay_errors` mean."""
    if background is None:
        return {"wrong class": FALSE_POSITIVE}
    return {"missed": FALSE_NEGATIVE, "made up": FALSE_POSITIVE, "wrong class": WRONG_CLASS}


def overlay_mask(
    picture: Picture,
    mask: Mask,
    colors: list[Color],
    background: int | None,
    opacity: float = OPACITY,
) -> Picture:
    """The classes' colors laid on the picture; background and ignored pixels show the picture itself."""
    palette = np.zeros((256, 3), np.float32)
    palette[: len(colors)] = colors
    painted = mask != IGNORE_LABEL
    if background is not None:
        painted &= mask != background
    return _blend(picture, palette[mask], painted * opacity)


def overlay_errors(
    picture: Picture, truth: Mask, predicted: Mask, background: int | None
) -> Picture:
    """The picture faded to grey, wrong pixels colored by kind: missed, made up, or of a wrong class."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    faded = np.repeat((60 + 0.55 * grey)[..., None], 3, axis=2).astype(np.uint8)
    wrong = (truth != predicted) & (truth != IGNORE_LABEL)
    color = np.zeros((*truth.shape, 3), np.float32)
    if background is None:
        color[...] = FALSE_POSITIVE
    else:
        color[...] = WRONG_CLASS
        color[predicted == background] = FALSE_NEGATIVE
        color[truth == background] = FALSE_POSITIVE
    return _blend(faded, color, wrong * 0.9)


def _blend(picture: Picture, color: NDArray[np.float32], opacity: NDArray[np.float64]) -> Picture:
    mixed = picture + (color - picture) * opacity[..., None]
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
