"""Batch norms in training: how fast their stored statistics follow, and over which devices they are taken."""

from collections.abc import Iterable

import keras

_MOST_MOMENTUM = 0.97


def prepare_batch_norms(layers: Iterable[keras.layers.Layer], steps: int, replicas: int) -> None:
    """Set up the batch norms among the layers for a training of so many steps on so many devices.

    Keras's momentum (0.99, in MobileNetV2 0.999) lags for hundreds of steps; a network that is trained for fewer is
    then judged and saved with statistics that are still half those it began with. The stored statistics here average
    over about 33 steps, or a tenth of the training if that is less. On several devices they are those of the whole
    batch, as on one.
    """
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = batch_norm_momentum(steps)
            layer.synchronized = replicas > 1


def batch_norm_momentum(steps: int) -> float:
    """The share of the stored statistics that a step leaves as it was."""
    return max(0.0, min(_MOST_MOMENTUM, 1 - 10 / max(steps, 1)))
