"""The moving average of the weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.training.ema import EMA


def test_the_average_follows_its_formula_and_is_applied_only_in_the_block():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    ema = EMA(network, 0.5)
    ema.set_values([np.zeros((1, 1), np.float32)])
    expected = 0.0
    for step in range(1, 8):
        network.set_weights([np.full((1, 1), step, np.float32)])
        ema.update(tf.constant(step))
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12 ... then 0.5
        expected = decay * expected + (1 - decay) * step
        assert ema.values()[0].item() == pytest.approx(expected)
    with ema.applied():
        assert network.get_weights()[0].item() == pytest.approx(expected)
    assert network.get_weights()[0].item() == 7
