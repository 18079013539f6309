"""The network of TensorFlow's image segmentation tutorial, on any of Keras's backends."""

import keras
from keras import layers

_SKIPS = (
    "block_1_expand_relu",
    "block_3_expand_relu",
    "block_6_expand_relu",
    "block_13_expand_relu",
)
_OUTPUT = "block_16_project"
_FILTERS = (512, 256, 128, 64)


def build_tutorial_network(
    size: int, classes: int, weights: str | None, frozen: bool = True
) -> keras.Model:
    """Build a network from images (B, S, S, 3) of 0..1 to logits (B, S, S, classes)."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(size, size, 3), include_top=False, weights=weights
    )
    outputs = [backbone.get_layer(name).output for name in (*_SKIPS, _OUTPUT)]
    encoder = keras.Model(backbone.input, outputs, name="encoder")
    encoder.trainable = not frozen
    image = keras.Input((size, size, 3))
    *skips, x = encoder(image)
    for skip, filters in zip(reversed(skips), _FILTERS, strict=True):
        x = _upsample(filters)(x)
        x = layers.Concatenate()([x, skip])
    logits = layers.Conv2DTranspose(classes, 3, strides=2, padding="same")(x)
    return keras.Model(image, logits, name="tutorial")


def _upsample(filters: int) -> keras.Sequential:
    initializer = keras.initializers.RandomNormal(0.0, 0.02)
    up = layers.Conv2DTranspose(
        filters, 3, strides=2, padding="same", use_bias=False, kernel_initializer=initializer
    )
    return keras.Sequential([up, layers.BatchNormalization(), layers.ReLU()])
