"""Test-time augmentation: average the probabilities over several views of an image."""

import keras
import tensorflow as tf

from petseg.config.params import TtaParams
from petseg.core.geometry import ImageSize
from petseg.model.encoder import STRIDES

NO_TTA = TtaParams(flip=False, scales=(1.0,))
_SIDE_MULTIPLE = max(STRIDES)  # the network's input sides must be multiples of this


def predict_probabilities(
    network: keras.Model, images: tf.Tensor, tta: TtaParams = NO_TTA
) -> tf.Tensor:
    """Return the probabilities (B, H, W, N) of images (B, H, W, 3) of 0..255, averaged over views.

    Each scale of `tta` is rounded to sides the network accepts; `flip` adds the mirrored view.
    """
    size = ImageSize(*images.shape[1:3])
    views = []
    for scale in tta.scales:
        scaled = _resize(images, ImageSize(*(_scaled_side(side, scale) for side in size)))
        probabilities = tf.nn.softmax(network(scaled, training=False))
        if tta.flip:
            flipped = tf.nn.softmax(network(scaled[:, :, ::-1], training=False))
            probabilities = (probabilities + flipped[:, :, ::-1]) / 2
        views.append(_resize(probabilities, size))
    return tf.add_n(views) / len(views)


def _scaled_side(side: int, scale: float) -> int:
    return max(1, round(scale * side / _SIDE_MULTIPLE)) * _SIDE_MULTIPLE


def _resize(values: tf.Tensor, size: ImageSize) -> tf.Tensor:
    """Resize (B, h, w, C) to (B, H, W, C)."""
    if tuple(values.shape[1:3]) == size:
        return values
    return tf.image.resize(values, size, method="bilinear", antialias=True)
