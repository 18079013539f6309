"""Test-time augmentation: the mean of the probabilities for several views of an image."""

import keras
import tensorflow as tf

from petseg.config.params import TtaParams
from petseg.model.encoder import STRIDES

NO_TTA = TtaParams(flip=False, scales=(1.0,))
_MULTIPLE = max(STRIDES)  # the network takes sides that are multiples of this


def predict_probabilities(
    network: keras.Model, image: tf.Tensor, tta: TtaParams = NO_TTA
) -> tf.Tensor:
    """The network's probabilities for images (B, S, S, 3) of 0..255, (B, S, S, N): the mean over the forms of `tta`."""
    size = image.shape[1]
    found = []
    for scale in tta.scales:
        seen = max(1, round(scale * size / _MULTIPLE)) * _MULTIPLE
        scaled = _resized(image, seen)
        scores = tf.nn.softmax(network(scaled, training=False))
        if tta.flip:
            mirrored = tf.nn.softmax(network(scaled[:, :, ::-1], training=False))
            scores = (scores + mirrored[:, :, ::-1]) / 2
        found.append(_resized(scores, size))
    return tf.add_n(found) / len(found)


def _resized(values: tf.Tensor, size: int) -> tf.Tensor:
    """(B, S, S, C) to (B, size, size, C)"""
    if values.shape[1] == size:
        return values
    return tf.image.resize(values, (size, size), method="bilinear", antialias=True)
