"""A predictor that needs neither a network nor TensorFlow, and photos for it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import ImageSize
from petseg.core.labels import TRIMAP_CLASSES, colors_of
from petseg.photos.predictor import Predictor

SIZE = ImageSize(32, 32)
TRIMAP = colors_of(TRIMAP_CLASSES)


def predict_from_brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give dark pixels a high probability of pet, and bright pixels of background."""
    bright = images.mean(-1, keepdims=True).astype(np.float32) / 255
    return np.concatenate([1 - bright, bright, np.zeros_like(bright)], -1)


def brightness_predictor(image_size: ImageSize = SIZE) -> Predictor:
    return Predictor(predict_from_brightness, TRIMAP, image_size)


def noise_photo(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth noise, (height, width, 3): neighboring pixels differ, but not by much."""
    small_shape = (max(height // 8, 1), max(width // 8, 1), 3)
    small = np.random.default_rng(height * width).integers(0, 256, small_shape, np.uint8)
    return np.asarray(
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.uint8
    )
