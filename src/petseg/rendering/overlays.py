"""Masks made visible: each a pure function of arrays."""

import numpy as np
from numpy.typing import NDArray

from petseg.classes import IGNORE_LABEL, Colour

Picture = NDArray[np.uint8]  # (H, W, 3)
Mask = NDArray[np.uint8]  # (H, W)

OPACITY = 0.55
"""Of the classes' colours where they are laid on a picture."""

MISSED: Colour = (86, 180, 233)  # sky blue
MADE_UP: Colour = (213, 94, 0)  # vermillion
MIXED_UP: Colour = (240, 228, 66)  # yellow


def error_kinds(background: int | None) -> dict[str, Colour]:
    """What the colours of `show_errors` mean."""
    if background is None:
        return {"wrong class": MADE_UP}
    return {"missed": MISSED, "made up": MADE_UP, "wrong class": MIXED_UP}


def show_mask(
    picture: Picture, mask: Mask, colours: list[Colour], background: int | None, opacity: float = OPACITY
) -> Picture:
    """The classes' colours laid on the picture; background and ignored pixels show the picture itself."""
    palette = np.zeros((256, 3), np.float32)
    palette[: len(colours)] = colours
    painted = mask != IGNORE_LABEL
    if background is not None:
        painted &= mask != background
    return _blend(picture, palette[mask], painted * opacity)


def show_errors(picture: Picture, truth: Mask, predicted: Mask, background: int | None) -> Picture:
    """The picture faded to grey, wrong pixels coloured by kind: missed, made up, or of a wrong class."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    faded = np.repeat((60 + 0.55 * grey)[..., None], 3, axis=2).astype(np.uint8)
    wrong = (truth != predicted) & (truth != IGNORE_LABEL)
    colour = np.zeros((*truth.shape, 3), np.float32)
    if background is None:
        colour[...] = MADE_UP
    else:
        colour[...] = MIXED_UP
        colour[predicted == background] = MISSED
        colour[truth == background] = MADE_UP
    return _blend(faded, colour, wrong * 0.9)


def _blend(picture: Picture, colour: NDArray[np.float32], opacity: NDArray[np.float64]) -> Picture:
    mixed = picture + (colour - picture) * opacity[..., None]
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
