"""Pretrained weights of the encoder."""

import keras
import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.model.encoder import build_encoder, load_encoder_weights


@pytest.fixture(scope="module")
def pretrained():
    """MobileNetV2 with random weights, no two of whose batch norms are alike."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2(
        (96, 96, 3), alpha=0.35, include_top=False, weights=None
    )
    rng = np.random.default_rng(2)
    for weight in network.weights:
        if "moving" in weight.path:
            weight.assign(weight + 0.1 * rng.uniform(size=weight.shape))
    return network


@pytest.fixture(scope="module")
def weights(pretrained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "pretrained.weights.h5"
    pretrained.save_weights(path)
    return str(path)


def test_an_encoder_cut_at_stride_16_loads_the_weights_of_the_whole_one(pretrained, weights):
    encoder = build_encoder("mobilenet_v2", 0.35, 16)
    load_encoder_weights(encoder, "mobilenet_v2", 0.35, weights)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    names = ["block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"]
    outputs = [pretrained.get_layer(name).output for name in (*names, "block_13_expand_relu")]
    features = encoder(x, training=False)
    expected = keras.Model(pretrained.input, outputs)(x, training=False)
    for found, wanted in zip(features, expected, strict=True):
        assert np.std(wanted) > 0.001
        assert np.allclose(found, wanted, atol=1e-6)


def test_imagenet_weights_without_a_network_connection_are_an_error(monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.org/weights.h5")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", unreachable)
    with pytest.raises(PetsegError, match=r"model\.weights is imagenet, but .* or to none"):
        load_encoder_weights(build_encoder("mobilenet_v2", 0.35), "mobilenet_v2", 0.35, "imagenet")
