"""Test-time augmentation: average the probabilities over several views of an image."""

import keras
import tensorflow as tf

from petseg.config.params import TtaParams
from petseg.model.encoder import STRIDES

NO_TTA = TtaParams(flip=False, scales=(1.0,))
_SIDE_MULTIPLE = max(STRIDES)  # the network's input sides must be multiples of this


def predict_probabilities(
    network: keras.Model, images: tf.Tensor, tta: TtaParams = NO_TTA
) -> tf.Tensor:
    """Return the probabilities (B, S, S, N) of images (B, S, S, 3) of 0..255, averaged over views.

    Each scale of `tta` is rounded to a side the network accepts; `flip` adds the mirrored view.
    """
    size = images.shape[1]
    views = []
    for scale in tta.scales:
        side = max(1, round(scale * size / _SIDE_MULTIPLE)) * _SIDE_MULTIPLE
        scaled = _resize(images, side)
        probabilities = tf.nn.softmax(network(scaled, training=False))
        if tta.flip:
            flipped = tf.nn.softmax(network(scaled[:, :, ::-1], training=False))
            probabilities = (probabilities + flipped[:, :, ::-1]) / 2
        views.append(_resize(probabilities, size))
    return tf.add_n(views) / len(views)


def _resize(values: tf.Tensor, size: int) -> tf.Tensor:
    """Resize (B, S, S, C) to (B, size, size, C)."""
    if values.shape[1] == size:
        return values
    return tf.image.resize(values, (size, size), method="bilinear", antialias=True)
