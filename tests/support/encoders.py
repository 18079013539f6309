"""A small encoder in the place of MobileNetV2, for tests that need a network but not that one."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import layers

from petseg.model.encoder import ENCODERS, STRIDES, EncoderKind


def construct_small_encoder(
    input_shape: tuple[int | None, int | None, int],
    alpha: float,
    include_top: bool,
    weights: str | None,
) -> keras.Model:
    """Build one convolution, batch norm and ReLU per stride, 8 channels at alpha 0.35.

    The signature is that of keras.applications.
    """
    x = images = keras.Input(input_shape)
    for stride in STRIDES:
        options = {"strides": 2, "padding": "same", "use_bias": False}
        x = layers.Conv2D(round(alpha * 23), 3, **options, name=f"conv_{stride}")(x)
        x = layers.BatchNormalization(name=f"norm_{stride}")(x)
        x = layers.ReLU(name=f"relu_{stride}")(x)
    network = keras.Model(images, x)
    if weights is not None:
        network.load_weights(weights)
    return network


SMALL_ENCODER = EncoderKind(
    title="Small",
    construct=construct_small_encoder,
    features=tuple(f"relu_{stride}" for stride in STRIDES),
    scale=1 / 127.5,
    offset=-1.0,
)


@contextmanager
def small_encoder() -> Iterator[None]:
    """Replace "mobilenet_v2" by the small encoder in this process while the block runs."""
    original = ENCODERS["mobilenet_v2"]
    ENCODERS["mobilenet_v2"] = SMALL_ENCODER
    try:
        yield
    finally:
        ENCODERS["mobilenet_v2"] = original
