"""Probabilities averaged over views, compared with averages made by hand."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.config.params import TtaParams
from petseg.prediction.tta import predict_probabilities
from support.models import build_decided_network

FLIP = TtaParams(flip=True, scales=(1.0,))


@pytest.fixture
def network(small_encoder):
    return build_decided_network()


def random_images(*size):
    return np.random.default_rng(7).uniform(0, 255, (2, *size, 3)).astype(np.float32)


def softmax(network, images):
    return tf.nn.softmax(network(images, training=False))


def test_flipping_an_image_flips_its_averaged_probabilities(network):
    images = random_images(32, 64)
    averaged = predict_probabilities(network, images, FLIP).numpy()
    flipped = predict_probabilities(network, images[:, :, ::-1], FLIP).numpy()
    assert np.array_equal(averaged, flipped[:, :, ::-1])
    assert not np.allclose(averaged, predict_probabilities(network, images), atol=1e-4)
    assert averaged.sum(-1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("scale", "view_size"),
    [(0.75, (96, 64)), (0.8, (96, 64)), (1.25, (160, 64)), (0.25, (32, 32)), (1.01, (128, 64))],
    ids=str,
)
def test_a_scale_adds_the_view_at_the_nearest_valid_size(network, scale, view_size):
    images = random_images(128, 64)
    scaled = tf.image.resize(images, view_size, antialias=True)
    view = tf.image.resize(softmax(network, scaled), (128, 64), antialias=True)
    plain = softmax(network, images)
    tta = TtaParams(flip=False, scales=(1.0, scale))
    averaged = predict_probabilities(network, tf.constant(images), tta)
    np.testing.assert_allclose(averaged, (plain + view) / 2, atol=1e-4)
    assert view_size == (128, 64) or np.abs(averaged - plain).max() > 0.05
