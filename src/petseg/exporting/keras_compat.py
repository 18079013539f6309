"""Networks with dynamic sizes. Checked with Keras 3.15.1.

Keras's own UpSampling2D needs static sizes in a TensorFlow graph.
"""

import keras
import tensorflow as tf
from keras import layers

from petseg.model.folding import fold_batch_norms


def with_dynamic_size(network: keras.Model) -> keras.Model:
    """Return a copy of the network, with the same weights, for images of any size."""

    def clone(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, keras.Model):  # the encoder, which doesn't upsample
            return layer
        kind = _DynamicUpSampling2D if isinstance(layer, layers.UpSampling2D) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, keras.Input((None, None, 3)), clone_function=clone)
    fold_batch_norms(copy)
    copy.set_weights(network.get_weights())
    return copy


class _DynamicUpSampling2D(layers.UpSampling2D):
    """Bilinear upsampling that reads the input size at run time."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(inputs, tf.shape(inputs)[1:3] * self.size, method="bilinear")
